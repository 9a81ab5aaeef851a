SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- One visit in so many is measured. Of a hundred, 42 look at goods, 11 fill a cart, 6 begin to pay
-- and 2.4 buy; those that fill a cart are visits of carts that exist.
CREATE TEMPORARY TABLE visit ON COMMIT DROP AS
SELECT n.*, 's_' || substr(md5(concat_ws(' ', 'visit', %(business_id)s, n.kind, n.place)), 1, 20)
           AS session_key,
       -- Longer visits get further: 17 events a visit on average.
       CASE n.kind WHEN 'look' THEN 12 + n.draw %% 21 WHEN 'bounce' THEN 3 + n.draw %% 16
                   WHEN 'cart' THEN 27 + n.draw %% 17 ELSE 33 + n.draw %% 17 END AS events,
       CASE WHEN n.channel_kind = 'mobile_app' THEN 'app' WHEN n.draw / 100 %% 100 < 62
            THEN 'mobile' WHEN n.draw / 100 %% 100 < 94 THEN 'desktop' ELSE 'tablet' END AS device
FROM (
    SELECT k.kind, k.place, k.sales_channel_id, k.channel_kind, k.customer_id, k.cart_id,
           k.ends_at, k.sales_order_id, k.amount,
           ('x' || substr(md5('cart visit ' || k.cart_id), 1, 7))::bit(28)::integer AS draw
    FROM (
        SELECT x.kind, x.share, c.sales_channel_id, h.channel_kind, c.customer_id, c.cart_id,
               CASE x.kind WHEN 'buy' THEN o.placed_at ELSE c.last_activity_at END AS ends_at,
               o.sales_order_id, coalesce(o.grand_total, 0) AS amount,
               row_number() OVER (PARTITION BY x.kind ORDER BY md5('measured ' || c.cart_id))
                   AS place
        FROM ret.cart AS c
        JOIN ret.sales_channel AS h
            ON h.business_id = c.business_id AND h.sales_channel_id = c.sales_channel_id
        LEFT JOIN ret.sales_order AS o
            ON o.business_id = c.business_id AND o.cart_id = c.cart_id
           AND o.state NOT IN ('pending', 'cancelled')
        JOIN (VALUES ('buy', 0.024), ('pay', 0.036), ('cart', 0.05)) AS x (kind, share)
            ON x.kind = CASE WHEN c.state = 'converted' THEN 'buy'
                             WHEN c.state NOT IN ('abandoned', 'active') THEN 'other'
                             WHEN c.checkout_step = 'cart' THEN 'cart' ELSE 'pay' END
        WHERE c.business_id = %(business_id)s AND c.cart_kind = 'online' AND c.item_count > 0
          AND (x.kind <> 'buy' OR o.sales_order_id IS NOT NULL)
          AND c.last_activity_at > %(as_of)s - interval '60 days'
    ) AS k
    WHERE k.place <= ceil(k.share * (SELECT greatest(count(*), 40) FROM ret.sales_order AS s
                                     WHERE s.business_id = %(business_id)s))
    UNION ALL
    SELECT k.kind, k.place, h.sales_channel_id, h.channel_kind, NULL, NULL,
           CASE WHEN k.planned <= %(as_of)s - interval '3 minutes' THEN k.planned
                ELSE k.planned - interval '1 day' END, NULL, 0, k.draw
    FROM (
        SELECT CASE WHEN g * 89 / greatest(s.orders, 40) < 58 THEN 'bounce' ELSE 'look' END
                   AS kind,
               g AS place, d.draw,
               ((%(as_of)s AT TIME ZONE l.timezone)::date
                - floor(30 * power(d.age, 1.3))::integer + interval '6 hours'
                + (d.early + d.late) / 2 * interval '17 hours 50 minutes')
                   AT TIME ZONE l.timezone AS planned
        FROM (SELECT count(*)::integer AS orders FROM ret.sales_order AS o
              WHERE o.business_id = %(business_id)s) AS s
        CROSS JOIN LATERAL generate_series(1, greatest(s.orders, 40) * 89 / 100) AS g
        CROSS JOIN (
            SELECT i.timezone FROM ret.location AS i WHERE i.business_id = %(business_id)s
            ORDER BY i.location_code LIMIT 1
        ) AS l
        CROSS JOIN LATERAL (
            SELECT ('x' || substr(m.sum, 1, 7))::bit(28)::integer AS draw,
                   ('x' || substr(m.sum, 8, 6))::bit(24)::integer / 16777216.0 AS age,
                   ('x' || substr(m.sum, 14, 6))::bit(24)::integer / 16777216.0 AS early,
                   ('x' || substr(m.sum, 20, 6))::bit(24)::integer / 16777216.0 AS late
            FROM (SELECT md5(concat_ws(' ', 'passing visit', %(business_id)s, g)) AS sum) AS m
        ) AS d
    ) AS k
    JOIN (
        SELECT c.sales_channel_id, c.channel_kind,
               row_number() OVER (ORDER BY c.channel_kind DESC, c.channel_code) - 1 AS place
        FROM ret.sales_channel AS c
        WHERE c.business_id = %(business_id)s AND c.channel_kind IN ('web', 'mobile_app')
    ) AS h ON h.place = CASE WHEN k.draw / 7 %% 4 = 0 THEN 1 ELSE 0 END
) AS n;

-- Looked at is what sells, in the same order.
CREATE TEMPORARY TABLE shown ON COMMIT DROP AS
SELECT x.product_variant_id, p.slug, c.slug AS category,
       row_number() OVER (ORDER BY md5('sells ' || x.sku)) - 1 AS place
FROM ret.product_variant AS x
JOIN ret.product AS p ON p.business_id = x.business_id AND p.product_id = x.product_id
JOIN ret.category AS c
    ON c.business_id = p.business_id AND c.category_id = p.main_category_id
WHERE x.business_id = %(business_id)s AND x.status = 'active';

-- Searched for are names of categories and brands, with what there is of them; every twelfth
-- search is a slip of the finger or a wish that the shop does not serve.
CREATE TEMPORARY TABLE wish ON COMMIT DROP AS
SELECT x.term, x.results, x.is_served,
       row_number() OVER (PARTITION BY x.is_served ORDER BY md5('wanted ' || x.term)) - 1
           AS place
FROM (
    SELECT n.term, n.results, true AS is_served
    FROM (
        SELECT lower(c.display_name) AS term, count(*)::integer AS results
        FROM ret.category AS c
        JOIN ret.product_category AS p
            ON p.business_id = c.business_id AND p.category_id = c.category_id
        WHERE c.business_id = %(business_id)s
        GROUP BY lower(c.display_name)
        UNION ALL
        SELECT lower(b.display_name), count(*)::integer
        FROM ret.brand AS b
        JOIN ret.product AS p ON p.business_id = b.business_id AND p.brand_id = b.brand_id
        WHERE b.business_id = %(business_id)s
        GROUP BY lower(b.display_name)
    ) AS n
    UNION ALL
    SELECT DISTINCT left(lower(c.display_name), 2) || substr(lower(c.display_name), 4), 0,
           false
    FROM ret.category AS c
    WHERE c.business_id = %(business_id)s AND length(c.display_name) > 5
      AND c.level_kind = 'class'
    UNION ALL
    SELECT w.term, 0, false
    FROM (VALUES ('student discount'), ('gift wrapping'), ('size chart'), ('repair kit'),
                 ('maternity'), ('plus size')) AS w (term)
) AS x;

CREATE TEMPORARY TABLE facet ON COMMIT DROP AS
SELECT jsonb_build_object('facet', x.facet, 'value', x.value) AS facet,
       row_number() OVER (ORDER BY x.facet DESC, x.value) - 1 AS place
FROM (
    SELECT DISTINCT lower(o.option_code) AS facet, v.display_name AS value
    FROM ret.product_option AS o
    JOIN ret.product_option_value AS v
        ON v.business_id = o.business_id AND v.product_option_id = o.product_option_id
    WHERE o.business_id = %(business_id)s
    UNION
    SELECT 'brand', b.display_name FROM ret.brand AS b WHERE b.business_id = %(business_id)s
) AS x;

INSERT INTO ret.web_event
    (business_id, web_event_id, sales_channel_id, customer_id, cart_id, product_variant_id,
     occurred_at, session_key, event_kind, page_path, search_term, result_count, referrer_source,
     device_kind, country_code, value_amount, payload, created_at)
SELECT %(business_id)s, md5(concat_ws(' ', 'click', e.session_key, e.step))::uuid,
       e.sales_channel_id, e.customer_id, CASE WHEN e.carts THEN e.cart_id END,
       CASE WHEN e.shows THEN coalesce(e.line_variant_id, v.product_variant_id) END,
       e.occurred_at, e.session_key, e.kind,
       CASE WHEN e.shows THEN '/p/' || coalesce(q.slug, v.slug)
            WHEN e.kind = 'search' THEN '/search'
            WHEN e.kind = 'begin_checkout' THEN '/checkout'
            WHEN e.kind = 'purchase' THEN '/checkout/thanks'
            WHEN e.kind = 'store_finder' THEN '/stores'
            WHEN e.step = 1 AND e.draw %% 3 > 0 THEN '/'
            ELSE '/c/' || v.category END,
       CASE WHEN e.kind = 'search' THEN t.term END, CASE WHEN e.kind = 'search' THEN t.results END,
       CASE WHEN e.step = 1 THEN split_part('direct,google,google,instagram,newsletter,google,'
                                            || 'direct,facebook,bing,tiktok', ',',
                                            1 + e.visit_draw / 3 %% 10) END,
       e.device, l.country_code,
       CASE e.kind WHEN 'purchase' THEN e.amount WHEN 'add_to_cart' THEN e.line_total ELSE 0 END,
       CASE WHEN e.kind = 'filter'
            THEN jsonb_build_object('facets', CASE WHEN e.draw %% 4 = 0
                THEN jsonb_build_array(f.facet, jsonb_build_object('facet', 'price', 'value',
                         (ARRAY['under 25', '25 to 50', '50 to 100'])[1 + e.draw / 5 %% 3]))
                ELSE jsonb_build_array(f.facet) END)
            WHEN e.kind = 'product_view' THEN jsonb_build_object('position', 1 + e.draw %% 24)
            WHEN e.step = 1 THEN jsonb_build_object('experiment', 'home_hero', 'arm',
                                                    CASE e.visit_draw %% 2 WHEN 0 THEN 'a'
                                                                           ELSE 'b' END)
            ELSE '{}' END, e.occurred_at
FROM (
    SELECT s.*, z.*, s.kind IN ('product_view', 'add_to_cart') AS shows,
           s.kind IN ('add_to_cart', 'begin_checkout', 'purchase') AS carts
    FROM (
        SELECT i.sales_channel_id, i.customer_id, i.cart_id, i.session_key, i.device, i.amount,
               i.draw AS visit_draw, g AS step, d.draw, d.pick, c.product_variant_id
                   AS line_variant_id, coalesce(c.line_total, 0) AS line_total,
               i.ends_at - (i.events - g) * interval '24 seconds'
                   - CASE WHEN g < i.events THEN d.draw %% 12 ELSE 0 END * interval '1 second'
                   AS occurred_at,
               CASE WHEN i.kind = 'buy' AND g = i.events THEN 'purchase'
                    WHEN i.kind IN ('buy', 'pay') AND g = i.events - 3 THEN 'begin_checkout'
                    WHEN c.cart_id IS NOT NULL AND (i.events - 4 - g) %% 2 = 0 THEN 'add_to_cart'
                    WHEN c.cart_id IS NOT NULL THEN 'product_view'
                    WHEN g = 1 THEN 'page_view'
                    WHEN i.kind = 'bounce' THEN CASE WHEN d.draw %% 100 < 64 THEN 'page_view'
                        WHEN d.draw %% 100 < 83 THEN 'search' WHEN d.draw %% 100 < 97
                        THEN 'filter' ELSE 'store_finder' END
                    WHEN g = 2 OR d.draw %% 100 < 46 THEN 'product_view'
                    WHEN d.draw %% 100 < 72 THEN 'page_view' WHEN d.draw %% 100 < 86
                    THEN 'search' WHEN d.draw %% 100 < 99 THEN 'filter'
                    ELSE 'store_finder' END AS kind
        FROM visit AS i
        CROSS JOIN LATERAL generate_series(1, i.events) AS g
        CROSS JOIN LATERAL (
            SELECT ('x' || substr(m.sum, 1, 7))::bit(28)::integer AS draw,
                   ('x' || substr(m.sum, 8, 6))::bit(24)::integer
                       / 16777216::double precision AS pick
            FROM (SELECT md5(concat_ws(' ', 'click', i.session_key, g)) AS sum) AS m
        ) AS d
        LEFT JOIN (
            -- The first four lines: each is looked at, then put into the cart.
            SELECT x.cart_id, x.product_variant_id, x.line_total, x.place,
                   count(*) OVER (PARTITION BY x.cart_id) AS places
            FROM (
                SELECT y.cart_id, y.product_variant_id, y.line_total,
                       row_number() OVER (PARTITION BY y.cart_id ORDER BY y.line_number) AS place
                FROM ret.cart_line AS y
                WHERE y.business_id = %(business_id)s
            ) AS x
            WHERE x.place <= 4
        ) AS c ON c.cart_id = i.cart_id AND g <= i.events - 4
              AND c.place = c.places - (i.events - 4 - g) / 2
    ) AS s
    CROSS JOIN (
        SELECT (SELECT count(*) FROM shown) AS variants, (SELECT count(*) FROM facet) AS facets,
               (SELECT count(*) FROM wish AS i WHERE i.is_served) AS served,
               (SELECT count(*) FROM wish AS i WHERE NOT i.is_served) AS unserved
    ) AS z
) AS e
JOIN (
    SELECT x.country_code FROM ret.location AS x WHERE x.business_id = %(business_id)s
    ORDER BY x.location_code LIMIT 1
) AS l ON true
JOIN shown AS v ON v.place = floor(e.variants * power(e.pick, 2.4))::bigint
LEFT JOIN (
    SELECT x.product_variant_id, p.slug
    FROM ret.product_variant AS x
    JOIN ret.product AS p ON p.business_id = x.business_id AND p.product_id = x.product_id
    WHERE x.business_id = %(business_id)s
) AS q ON q.product_variant_id = e.line_variant_id
JOIN wish AS t
    ON t.is_served = (e.draw / 3 %% 12 > 0)
   AND t.place = floor(CASE WHEN e.draw / 3 %% 12 > 0 THEN e.served ELSE e.unserved END
                       * power(e.pick, 1.8))::bigint
JOIN facet AS f ON f.place = floor(e.facets * e.pick)::bigint;

-- The doors of the stores through the last quarter, or as many days as the sales fill: for every
-- sale some who came for it and some who only looked; the day decides how many.
CREATE TEMPORARY TABLE door ON COMMIT DROP AS
SELECT n.*, row_number() OVER (PARTITION BY n.location_id, n.day ORDER BY n.counted_at) AS place,
       coalesce(lag(n.entries) OVER (PARTITION BY n.location_id, n.day ORDER BY n.counted_at), 0)
       + CASE WHEN lead(n.entries) OVER (PARTITION BY n.location_id, n.day
                                         ORDER BY n.counted_at) IS NULL
              THEN n.entries ELSE 0 END AS exits
FROM (
    SELECT p.location_id, p.has_two_doors, d.day, q.counted_at,
           ('x' || substr(md5(concat_ws(' ', 'door', p.location_id, q.counted_at)), 1, 7)
           )::bit(28)::integer AS draw,
           round(coalesce(s.sales, 0) * (2.6 + m.mood %% 19 / 10.0))::integer
           -- As many who only look as the last week's sales let expect.
           + floor(w.rate + ('x' || substr(md5(concat_ws(' ', 'lookers', p.location_id,
                                                         q.counted_at)), 1, 7)
                            )::bit(28)::integer %% 1000 / 1000.0)::integer AS entries
    FROM (
        SELECT l.location_id, l.timezone,
               row_number() OVER (ORDER BY l.location_code) = 1 AS has_two_doors
        FROM ret.location AS l
        WHERE l.business_id = %(business_id)s AND l.location_kind = 'store'
          AND l.status = 'open'
    ) AS p
    CROSS JOIN LATERAL (
        SELECT (%(as_of)s AT TIME ZONE p.timezone)::date - g AS day
        FROM generate_series(1, (SELECT least(90, greatest(7, count(*) / 100))::integer
                                 FROM ret.sales_order AS o
                                 WHERE o.business_id = %(business_id)s)) AS g
    ) AS d
    CROSS JOIN LATERAL (
        SELECT (d.day + interval '9 hours' + x * interval '15 minutes')
                   AT TIME ZONE p.timezone AS counted_at
        FROM generate_series(0, 43) AS x
    ) AS q
    CROSS JOIN LATERAL (
        SELECT ('x' || substr(md5(concat_ws(' ', 'mood', p.location_id, d.day)), 1, 7)
               )::bit(28)::integer AS mood
    ) AS m
    CROSS JOIN LATERAL (
        SELECT count(*) * 1.3 / (7 * 44) AS rate
        FROM ret.sales_order AS o
        WHERE o.business_id = %(business_id)s AND o.sold_location_id = p.location_id
          AND o.order_kind IN ('sale', 'exchange')
          AND o.placed_at > %(as_of)s - interval '7 days'
    ) AS w
    LEFT JOIN (
        SELECT o.sold_location_id, count(*) AS sales,
               date_bin('15 minutes', o.placed_at, TIMESTAMPTZ '2000-01-01 00:00+00') AS at
        FROM ret.sales_order AS o
        WHERE o.business_id = %(business_id)s AND o.order_kind IN ('sale', 'exchange')
          AND o.state NOT IN ('pending', 'cancelled')
        GROUP BY o.sold_location_id,
                 date_bin('15 minutes', o.placed_at, TIMESTAMPTZ '2000-01-01 00:00+00')
    ) AS s ON s.sold_location_id = p.location_id AND s.at = q.counted_at
) AS n;

INSERT INTO ret.store_traffic_count
    (business_id, store_traffic_count_id, location_id, counted_at, sensor_code, entries, exits,
     passers_by, groups_count, dwell_seconds_mean, staff_on_floor, temperature_c, created_at)
SELECT %(business_id)s,
       md5(concat_ws(' ', 'counted', d.location_id, s.sensor, d.counted_at))::uuid, d.location_id,
       d.counted_at, 'DOOR-' || s.sensor, n.entries, n.exits, n.entries * 7 + d.draw %% 23,
       ceil(n.entries * 0.6), CASE WHEN n.exits > 0 THEN 240 + d.draw %% 600 END,
       3 + d.draw / 9 %% 5, 20 + d.draw %% 30 / 10.0, d.counted_at + interval '15 minutes'
FROM door AS d
JOIN (VALUES (1), (2)) AS s (sensor) ON s.sensor = 1 OR d.has_two_doors
CROSS JOIN LATERAL (
    -- A third uses the side door, where there is one.
    SELECT CASE WHEN NOT d.has_two_doors THEN d.entries WHEN s.sensor = 2 THEN d.entries / 3
                ELSE d.entries - d.entries / 3 END AS entries,
           CASE WHEN NOT d.has_two_doors THEN d.exits WHEN s.sensor = 2 THEN d.exits / 3
                ELSE d.exits - d.exits / 3 END AS exits
) AS n;

SELECT ret.summarize_sales(%(as_of)s::date - 125, %(as_of)s::date + 1, %(as_of)s);
SELECT ret.summarize_variants(%(as_of)s::date - 125, %(as_of)s::date + 1, %(as_of)s);

-- The last four Sundays, or whatever the day before is.
SELECT ret.snapshot_inventory(%(as_of)s::date - 1 - 7 * k)
FROM generate_series(3, 0, -1) AS k;

-- Every Sunday night for the week to come, the last time for four; then what came of them.
SELECT ret.forecast_demand(l.location_id, %(as_of)s - interval '8 hours' - k * interval '7 days',
                           CASE WHEN k = 0 THEN 4 ELSE 1 END)
FROM ret.location AS l
CROSS JOIN generate_series(4, 0, -1) AS k
WHERE l.business_id = %(business_id)s
ORDER BY k DESC, l.location_code;

SELECT ret.record_demand(%(as_of)s::date - 60, %(as_of)s::date);

SELECT ret.compute_rfm(%(as_of)s::date - 30);
SELECT ret.compute_rfm(%(as_of)s::date);

SELECT ret.compute_affinity(%(as_of)s::date - 89, %(as_of)s::date + 1,
                            greatest(1, count(*) / 1500)::integer, %(as_of)s)
FROM ret.sales_order AS o
WHERE o.business_id = %(business_id)s;

-- Cross-sells that were learned are those that these baskets teach.
SELECT ret.relate_products(%(as_of)s::date + 1);

SELECT ret.open_shrink_cases(%(as_of)s - interval '120 days', %(as_of)s, 4);

-- What is a week old is looked into, what is three weeks old is closed.
UPDATE ret.shrink_event AS e
SET state = 'investigating',
    cause = CASE WHEN e.register_session_id IS NOT NULL AND n.place %% 4 = 0 THEN 'internal_theft'
                 WHEN e.register_session_id IS NOT NULL THEN 'administrative'
                 WHEN e.cause = 'external_theft' AND n.place %% 6 = 0 THEN 'organised_crime'
                 ELSE e.cause END,
    evidence_doc = CASE
        WHEN e.register_session_id IS NOT NULL
        THEN jsonb_build_array(jsonb_build_object(
                 'kind', 'exception', 'reference', 'drawer short by ' || e.cost_value))
        WHEN e.cause IN ('external_theft', 'unknown')
        THEN jsonb_build_array(
                 jsonb_build_object('kind', 'cctv', 'reference', 'camera ' || 1 + n.place %% 9),
                 jsonb_build_object('kind', 'witness', 'reference',
                                    CASE n.place %% 2 WHEN 0 THEN 'sales associate'
                                                      ELSE 'store detective' END))
        ELSE jsonb_build_array(jsonb_build_object('kind', 'document', 'reference',
                                                  'recount sheet')) END
FROM (
    SELECT x.shrink_event_id,
           ('x' || substr(md5('case ' || x.shrink_event_id), 1, 7))::bit(28)::integer AS place
    FROM ret.shrink_event AS x
    WHERE x.business_id = %(business_id)s
) AS n
WHERE e.business_id = %(business_id)s AND e.shrink_event_id = n.shrink_event_id
  AND e.detected_at < %(as_of)s - interval '7 days';

UPDATE ret.shrink_event AS e
SET state = 'closed',
    recovered_value = CASE WHEN n.place %% 5 = 0 THEN round(e.retail_value * 0.4, 2) ELSE 0 END
FROM (
    SELECT x.shrink_event_id,
           ('x' || substr(md5('closed ' || x.shrink_event_id), 1, 7))::bit(28)::integer AS place
    FROM ret.shrink_event AS x
    WHERE x.business_id = %(business_id)s
) AS n
WHERE e.business_id = %(business_id)s AND e.shrink_event_id = n.shrink_event_id
  AND e.state = 'investigating' AND e.detected_at < %(as_of)s - interval '21 days';

-- Plans for the departments as a whole and store by store, for the classes as a whole: three
-- months back, this one and two ahead. What a buyer plans is about what he sells; the stock is to
-- end where it began, give or take a twentieth.
INSERT INTO ret.merchandise_plan
    (business_id, merchandise_plan_id, planner_user_id, category_id, location_id, plan_month,
     version_no, planned_sales, planned_margin_pct, planned_markdown, opening_stock_plan,
     closing_stock_plan, state, created_at, updated_at)
SELECT %(business_id)s,
       md5(concat_ws(' ', 'plan', k.category_id, coalesce(k.location_id::text, 'all'), m.month,
                     r.version_no))::uuid,
       u.user_account_id, k.category_id, k.location_id, m.month, r.version_no, f.sales,
       coalesce(k.target_margin_pct, 45), round(f.sales * 0.08, 2), f.opening, f.closing,
       CASE WHEN r.version_no < r.versions OR m.ahead = 2 THEN 'draft'
            WHEN m.ahead < 0 THEN 'locked' ELSE 'approved' END,
       m.month::timestamp AT TIME ZONE 'UTC' - interval '40 days',
       m.month::timestamp AT TIME ZONE 'UTC' - interval '30 days'
FROM (
    SELECT c.category_id, c.target_margin_pct, l.location_id,
           sum(s.sales) / 4 AS monthly, sum(s.stock) AS stock
    FROM ret.category AS c
    JOIN (
        SELECT g.location_id, true AS is_place FROM ret.location AS g
        WHERE g.business_id = %(business_id)s
        UNION ALL
        SELECT NULL, false
    ) AS l ON c.level_kind = 'department' OR NOT l.is_place
    JOIN (
        SELECT b.path_text, x.location_id, sum(x.sales) AS sales, sum(x.stock) AS stock
        FROM (
            SELECT d.product_variant_id, d.location_id, d.gross_sales AS sales, 0 AS stock
            FROM ret.variant_sales_day AS d
            WHERE d.business_id = %(business_id)s
            UNION ALL
            SELECT i.product_variant_id, i.location_id, 0, i.retail_value
            FROM ret.inventory_day_snapshot AS i
            WHERE i.business_id = %(business_id)s AND i.snapshot_date = %(as_of)s::date - 1
        ) AS x
        JOIN ret.product_variant AS v
            ON v.business_id = %(business_id)s AND v.product_variant_id = x.product_variant_id
        JOIN ret.product AS p ON p.business_id = v.business_id AND p.product_id = v.product_id
        JOIN ret.category AS b
            ON b.business_id = p.business_id AND b.category_id = p.main_category_id
        GROUP BY b.path_text, x.location_id
    ) AS s ON starts_with(s.path_text || ' > ', c.path_text || ' > ')
          AND (l.location_id IS NULL OR s.location_id = l.location_id)
    WHERE c.business_id = %(business_id)s AND c.level_kind IN ('department', 'class')
    GROUP BY c.category_id, c.target_margin_pct, l.location_id
) AS k
CROSS JOIN (
    SELECT g AS ahead,
           (date_trunc('month', %(as_of)s, 'UTC') AT TIME ZONE 'UTC' + g * interval '1 month'
           )::date AS month
    FROM generate_series(-3, 2) AS g
) AS m
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5(concat_ws(' ', 'plan', k.category_id, k.location_id, m.month)), 1,
                          7))::bit(28)::integer AS place
) AS n
CROSS JOIN LATERAL (
    -- Every sixth plan was revised.
    SELECT v AS version_no, CASE WHEN n.place %% 6 = 0 THEN 2 ELSE 1 END AS versions
    FROM generate_series(1, CASE WHEN n.place %% 6 = 0 THEN 2 ELSE 1 END) AS v
) AS r
CROSS JOIN LATERAL (
    SELECT round(greatest(k.monthly, 60) * (0.9 + n.place %% 30 / 100.0
                                            - 0.05 * (r.version_no - 1)), -1) AS sales,
           round(greatest(k.stock, 200), -1) AS opening,
           round(greatest(k.stock, 200) * (0.95 + n.place / 30 %% 11 / 100.0), -1) AS closing
) AS f
JOIN (
    SELECT a.user_account_id, row_number() OVER (ORDER BY a.username) - 1 AS place,
           count(*) OVER () AS users
    FROM user_mgmt.user_account AS a
    WHERE a.business_id = %(business_id)s AND a.status = 'active'
) AS u ON u.place = n.place / 7 %% least(u.users, 4);

SELECT ret.refresh_plans((date_trunc('month', %(as_of)s, 'UTC') AT TIME ZONE 'UTC'
                          + g * interval '1 month')::date, %(as_of)s)
FROM generate_series(-3, 2) AS g;

-- Three buyers in four plan the stock that their orders build; the fourth has overbought.
UPDATE ret.merchandise_plan AS p
SET closing_stock_plan = greatest(0, p.opening_stock_plan + round(
        p.on_order_receipts * (1.02 + n.place %% 24 / 100.0), -1)
        - p.planned_sales - p.planned_markdown)
FROM (
    SELECT x.merchandise_plan_id,
           ('x' || substr(md5('buyer ' || x.merchandise_plan_id), 1, 7))::bit(28)::integer
               AS place
    FROM ret.merchandise_plan AS x
    WHERE x.business_id = %(business_id)s AND x.on_order_receipts > 0
) AS n
WHERE p.business_id = %(business_id)s AND p.merchandise_plan_id = n.merchandise_plan_id
  AND n.place %% 4 > 0;
