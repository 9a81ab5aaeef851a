SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Each group has its station, and what is made elsewhere than its group a rule of its own.
INSERT INTO rest.station_routing_rule
    (business_id, station_routing_rule_id, prep_station_id, menu_group_id, rule_name, route_kind,
     service_mode, priority, effective_from)
SELECT g.business_id, md5(concat('route ', r.kind, r.mode, g.menu_group_id))::uuid,
       s.prep_station_id, g.menu_group_id,
       concat_ws(' ', m.display_name || ':', g.display_name, 'to', lower(s.display_name)), r.kind,
       r.mode, r.priority, %(as_of)s::date - 400
FROM rest.menu_group AS g
JOIN rest.menu AS m ON m.business_id = g.business_id AND m.menu_id = g.menu_id
JOIN (VALUES ('restaurant', 'Starters', 'COLD', 'make', 'all', 100),
             ('restaurant', 'Mains', 'HOT', 'make', 'all', 100),
             ('restaurant', 'Sides', 'HOT', 'make', 'all', 100),
             ('restaurant', 'Desserts', 'COLD', 'make', 'all', 100),
             ('restaurant', 'Starters', 'EXPO', 'expo_copy', 'all', 100),
             ('restaurant', 'Mains', 'EXPO', 'expo_copy', 'all', 100),
             ('restaurant', 'Sides', 'EXPO', 'expo_copy', 'all', 100),
             ('restaurant', 'Desserts', 'EXPO', 'expo_copy', 'all', 100),
             ('restaurant', 'Soft drinks', 'BAR', 'make', 'all', 100),
             ('restaurant', 'Beer', 'BAR', 'make', 'all', 100),
             ('restaurant', 'Wine', 'BAR', 'make', 'all', 100),
             ('restaurant', 'Cocktails', 'BAR', 'make', 'all', 100),
             ('cloud', 'Wings', 'FRY', 'make', 'all', 100),
             ('cloud', 'Bowls', 'COLD', 'make', 'all', 100),
             ('cloud', 'Burgers', 'GRILL', 'make', 'all', 100),
             ('cloud', 'Sides', 'FRY', 'make', 'all', 100),
             ('cloud', 'Soft drinks', 'BAR', 'make', 'all', 100),
             -- A courier takes bottles out of the cooler.
             ('cloud', 'Soft drinks', 'COLD', 'make', 'delivery', 50))
    AS r (kitchen, category, station, kind, mode, priority)
    ON r.category = g.display_name
   AND r.kitchen = CASE WHEN m.menu_kind = 'delivery' THEN 'cloud' ELSE 'restaurant' END
JOIN rest.kitchen AS k ON k.business_id = g.business_id AND k.kitchen_kind = r.kitchen
JOIN rest.prep_station AS s
    ON s.business_id = k.business_id AND s.kitchen_id = k.kitchen_id
   AND s.station_code = r.station
WHERE g.business_id = %(business_id)s;

INSERT INTO rest.station_routing_rule
    (business_id, station_routing_rule_id, prep_station_id, menu_item_id, rule_name,
     effective_from)
SELECT i.business_id, md5('route ' || s.prep_station_id || i.menu_item_id)::uuid,
       s.prep_station_id, i.menu_item_id, i.display_name || ' to ' || lower(s.display_name),
       %(as_of)s::date - 400
FROM rest.menu_item AS i
JOIN (VALUES ('restaurant', 'Fried calamari', 'FRY'), ('restaurant', 'Tomato soup', 'HOT'),
             ('restaurant', 'Charred octopus', 'GRILL'), ('restaurant', 'Ribeye 12 oz', 'GRILL'),
             ('restaurant', 'Half chicken', 'GRILL'), ('restaurant', 'Grilled salmon', 'GRILL'),
             ('restaurant', 'Copper burger', 'GRILL'), ('restaurant', 'Pork chop', 'GRILL'),
             ('restaurant', 'Cauliflower steak', 'GRILL'), ('restaurant', 'Fish and chips', 'FRY'),
             ('restaurant', 'Fries', 'FRY'), ('restaurant', 'Side salad', 'COLD'),
             ('restaurant', 'Grilled asparagus', 'GRILL'), ('cloud', 'Celery and dip', 'COLD'),
             ('cloud', 'Chicken bowl', 'GRILL'), ('cloud', 'Miso soup', 'HOT'),
             ('cloud', 'Chicken sandwich', 'FRY'), ('cloud', 'Side salad', 'COLD'),
             ('cloud', 'Mac and cheese', 'HOT'))
    AS r (kitchen, item, station)
    ON r.item = i.display_name
JOIN rest.kitchen AS k ON k.business_id = i.business_id AND k.kitchen_kind = r.kitchen
JOIN rest.prep_station AS s
    ON s.business_id = k.business_id AND s.kitchen_id = k.kitchen_id
   AND s.station_code = r.station
WHERE i.business_id = %(business_id)s;

-- The side of a main comes from the station that makes it.
INSERT INTO rest.station_routing_rule
    (business_id, station_routing_rule_id, prep_station_id, modifier_option_id, rule_name,
     route_kind, effective_from)
SELECT p.business_id, md5('route ' || s.prep_station_id || p.modifier_option_id)::uuid,
       s.prep_station_id, p.modifier_option_id,
       'With ' || p.display_name || ': ' || lower(s.display_name), 'assemble',
       %(as_of)s::date - 400
FROM rest.modifier_option AS p
JOIN rest.modifier_group AS g
    ON g.business_id = p.business_id AND g.modifier_group_id = p.modifier_group_id
   AND g.group_code = 'SIDE'
JOIN rest.kitchen AS k ON k.business_id = p.business_id
JOIN rest.prep_station AS s
    ON s.business_id = k.business_id AND s.kitchen_id = k.kitchen_id
   AND s.station_code = CASE p.display_name WHEN 'Salad' THEN 'COLD' WHEN 'Mash' THEN 'HOT'
                                            ELSE 'FRY' END
WHERE p.business_id = %(business_id)s;

-- What an item may take at its station: at any time, and a little more at dinner.
INSERT INTO rest.prep_time_standard
    (business_id, prep_time_standard_id, menu_item_id, prep_station_id, service_period_id,
     target_seconds, is_batchable, max_batch, hold_limit_seconds)
SELECT n.business_id,
       md5(concat('standard ', n.menu_item_id, n.prep_station_id, d.service_period_id))::uuid,
       n.menu_item_id, n.prep_station_id, d.service_period_id,
       CASE d.period_code WHEN 'dinner' THEN n.prep_seconds * 11 / 10
                          WHEN 'lunch' THEN n.prep_seconds * 9 / 10 ELSE n.prep_seconds END,
       n.station_code IN ('FRY', 'BAR'),
       CASE n.station_code WHEN 'FRY' THEN 4 WHEN 'BAR' THEN 6 END,
       CASE WHEN n.station_code IN ('GRILL', 'FRY', 'HOT') THEN 240 ELSE 900 END
FROM (
    SELECT DISTINCT i.business_id, i.menu_item_id, i.prep_seconds, s.prep_station_id,
           s.station_code, k.location_id
    FROM rest.menu_item AS i
    LEFT JOIN rest.menu_group_item AS g
        ON g.business_id = i.business_id AND g.menu_item_id = i.menu_item_id
    JOIN rest.station_routing_rule AS r
        ON r.business_id = i.business_id AND r.route_kind = 'make'
       AND coalesce(r.menu_item_id, r.menu_group_id) IN (i.menu_item_id, g.menu_group_id)
    JOIN rest.prep_station AS s
        ON s.business_id = r.business_id AND s.prep_station_id = r.prep_station_id
    JOIN rest.kitchen AS k ON k.business_id = s.business_id AND k.kitchen_id = s.kitchen_id
    WHERE i.business_id = %(business_id)s AND i.prep_seconds > 0
) AS n
JOIN (
    SELECT p.location_id, p.service_period_id, p.period_code
    FROM rest.service_period AS p
    WHERE p.business_id = %(business_id)s AND p.period_code IN ('lunch', 'dinner')
    UNION ALL
    SELECT l.location_id, NULL, NULL
    FROM rest.location AS l
    WHERE l.business_id = %(business_id)s
) AS d ON d.location_id = n.location_id;

-- At the fill's moment the kitchens are at work: where few orders are cooking, they get more.
INSERT INTO rest.guest_order
    (business_id, guest_order_id, location_id, business_day_id, sales_channel_id,
     virtual_brand_id, kitchen_id, server_staff_id, order_number, service_mode, state,
     guest_count, opened_at, promised_at, pickup_name, external_order_ref, delivery_address_doc,
     idempotency_key)
SELECT l.business_id, md5('live ' || n.number || l.location_id)::uuid, l.location_id,
       d.business_day_id, c.sales_channel_id, v.virtual_brand_id, k.kitchen_id,
       CASE WHEN c.channel_kind = 'in_store' THEN w.staff_member_id END,
       '8' || lpad(n.number::text, 5, '0'),
       CASE c.channel_kind WHEN 'in_store' THEN 'dine_in' WHEN 'marketplace' THEN 'delivery'
                           ELSE 'takeout' END,
       'sent', 2 + n.number %% 3,
       %(as_of)s::timestamptz - n.number * interval '14 minutes' / (a.orders + 1)
       - interval '2 minutes',
       %(as_of)s::timestamptz + (20 - n.number) * interval '1 minute',
       CASE WHEN c.channel_kind <> 'in_store' THEN 'Guest ' || n.number END,
       CASE WHEN c.channel_kind = 'marketplace' THEN 'MX-8' || n.number END,
       CASE WHEN c.channel_kind = 'marketplace'
            THEN jsonb_build_object('street', 100 + n.number || ' Lake St',
                                    'note', 'Leave at the door') END,
       'live-' || n.number || '-' || l.location_code
FROM rest.location AS l
JOIN rest.kitchen AS k ON k.business_id = l.business_id AND k.location_id = l.location_id
JOIN rest.business_day AS d
    ON d.business_id = l.business_id AND d.location_id = l.location_id AND d.state = 'open'
CROSS JOIN (
    SELECT least(9, greatest(2, count(*) / 50)) AS orders
    FROM rest.guest_order AS x
    WHERE x.business_id = %(business_id)s
) AS a
CROSS JOIN LATERAL generate_series(1, a.orders) AS n (number)
JOIN rest.sales_channel AS c
    ON c.business_id = l.business_id
   AND c.channel_code = CASE WHEN n.number %% 4 = 3 THEN 'WEB'
                             WHEN k.kitchen_kind = 'restaurant' THEN 'HOUSE'
                             WHEN n.number %% 2 = 0 THEN 'UBER' ELSE 'DASH' END
JOIN rest.virtual_brand AS v
    ON v.business_id = l.business_id
   AND v.brand_code = CASE WHEN k.kitchen_kind = 'restaurant' THEN 'FLAG'
                           WHEN n.number %% 3 = 0 THEN 'WINGS'
                           WHEN n.number %% 3 = 1 THEN 'BOWLS' ELSE 'SMASH' END
CROSS JOIN (
    SELECT x.staff_member_id
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
    ORDER BY x.employee_number
    LIMIT 1
) AS w
LEFT JOIN (
    SELECT x.location_id, count(*) AS orders
    FROM rest.guest_order AS x
    WHERE x.business_id = %(business_id)s AND x.state = 'sent'
      AND x.opened_at > %(as_of)s::timestamptz - interval '15 minutes'
    GROUP BY x.location_id
) AS o ON o.location_id = l.location_id
WHERE l.business_id = %(business_id)s AND n.number > coalesce(o.orders, 0);

INSERT INTO rest.guest_check
    (business_id, guest_check_id, guest_order_id, owner_staff_id, check_number, currency,
     opened_at, state)
SELECT o.business_id, md5('check of ' || o.guest_order_id)::uuid, o.guest_order_id,
       o.server_staff_id, '1', l.currency, o.opened_at, 'open'
FROM rest.guest_order AS o
JOIN rest.location AS l ON l.business_id = o.business_id AND l.location_id = o.location_id
WHERE o.business_id = %(business_id)s AND o.idempotency_key LIKE 'live-%%';

INSERT INTO rest.check_seat
    (business_id, check_seat_id, guest_check_id, seat_number, seat_label, has_allergy_alert,
     allergy_note)
SELECT c.business_id, md5('seat ' || n.seat || c.guest_check_id)::uuid, c.guest_check_id, n.seat,
       'Seat ' || n.seat, n.seat = 1 AND o.order_number LIKE '%%2',
       CASE WHEN n.seat = 1 AND o.order_number LIKE '%%2' THEN 'Tree nuts' END
FROM rest.guest_order AS o
JOIN rest.guest_check AS c
    ON c.business_id = o.business_id AND c.guest_order_id = o.guest_order_id
CROSS JOIN LATERAL generate_series(1, o.guest_count) AS n (seat)
WHERE o.business_id = %(business_id)s AND o.idempotency_key LIKE 'live-%%'
  AND o.service_mode = 'dine_in';

INSERT INTO rest.order_course
    (business_id, order_course_id, guest_order_id, course_number, course_kind, fire_rule, state,
     fired_by_staff_id, fired_at)
SELECT o.business_id, md5('course ' || n.number || o.guest_order_id)::uuid, o.guest_order_id,
       n.number, n.kind, CASE n.number WHEN 1 THEN 'immediate' ELSE 'by_prep_time' END, 'fired',
       o.server_staff_id, o.opened_at + interval '2 minutes'
FROM rest.guest_order AS o
CROSS JOIN (VALUES (1, 'drinks'), (2, 'main')) AS n (number, kind)
WHERE o.business_id = %(business_id)s AND o.idempotency_key LIKE 'live-%%'
  AND (o.service_mode = 'dine_in' OR n.number = 2);

INSERT INTO rest.check_item
    (business_id, check_item_id, guest_check_id, menu_item_id, check_seat_id, order_course_id,
     line_number, display_name, quantity, unit_price, price_source, state, sent_at)
SELECT c.business_id, md5('line ' || n.line || c.guest_check_id)::uuid, c.guest_check_id,
       i.menu_item_id, s.check_seat_id, u.order_course_id, n.line, i.display_name, 1,
       i.base_price, 'base', 'sent', o.opened_at + interval '2 minutes'
FROM rest.guest_order AS o
JOIN rest.guest_check AS c
    ON c.business_id = o.business_id AND c.guest_order_id = o.guest_order_id
CROSS JOIN generate_series(1, 6) AS n (line)
JOIN (
    SELECT x.location_id, x.menu_item_id,
           row_number() OVER (PARTITION BY x.location_id ORDER BY m.item_code) - 1 AS place,
           count(*) OVER (PARTITION BY x.location_id) AS items
    FROM rest.menu_item_location AS x
    JOIN rest.menu_item AS m
        ON m.business_id = x.business_id AND m.menu_item_id = x.menu_item_id
       AND m.item_kind <> 'combo'
    WHERE x.business_id = %(business_id)s AND x.stock_mode = 'unlimited'
) AS f
    ON f.location_id = o.location_id
   AND f.place = ('x' || substr(md5('live ' || n.line || o.guest_order_id), 1, 7))::bit(28)
                 ::integer %% f.items
JOIN rest.menu_item AS i ON i.business_id = c.business_id AND i.menu_item_id = f.menu_item_id
LEFT JOIN rest.check_seat AS s
    ON s.business_id = c.business_id AND s.guest_check_id = c.guest_check_id
   AND s.seat_number = n.line %% o.guest_count + 1
JOIN rest.order_course AS u
    ON u.business_id = o.business_id AND u.guest_order_id = o.guest_order_id
   AND u.course_number = CASE WHEN i.default_course = 'drinks' AND o.service_mode = 'dine_in'
                              THEN 1 ELSE 2 END
WHERE o.business_id = %(business_id)s AND o.idempotency_key LIKE 'live-%%';

INSERT INTO rest.check_item_modifier
    (business_id, check_item_modifier_id, check_item_id, modifier_option_id, display_name,
     unit_price, sequence_no)
SELECT i.business_id, md5('chose ' || g.modifier_group_id || i.check_item_id)::uuid,
       i.check_item_id, p.modifier_option_id, p.display_name, greatest(p.price, 0), g.sort_order
FROM rest.guest_order AS o
JOIN rest.guest_check AS c
    ON c.business_id = o.business_id AND c.guest_order_id = o.guest_order_id
JOIN rest.check_item AS i
    ON i.business_id = c.business_id AND i.guest_check_id = c.guest_check_id
JOIN rest.menu_item_modifier_group AS m
    ON m.business_id = i.business_id AND m.menu_item_id = i.menu_item_id
JOIN rest.modifier_group AS g
    ON g.business_id = m.business_id AND g.modifier_group_id = m.modifier_group_id
   AND g.min_select > 0
JOIN (
    SELECT x.*, row_number() OVER (PARTITION BY x.modifier_group_id ORDER BY x.option_code) - 1
                    AS place
    FROM rest.modifier_option AS x
    WHERE x.business_id = %(business_id)s AND NOT x.is_out_of_stock
) AS p
    ON p.modifier_group_id = g.modifier_group_id
   AND p.place = ('x' || substr(md5(i.check_item_id::text), 1, 7))::bit(28)::integer %% 4
WHERE o.business_id = %(business_id)s AND o.idempotency_key LIKE 'live-%%';

INSERT INTO rest.order_status_event
    (business_id, order_status_event_id, guest_order_id, occurred_at, from_state, to_state,
     actor_kind, actor_staff_id, latency_ms)
SELECT o.business_id, md5('event ' || e.to_state || o.guest_order_id)::uuid, o.guest_order_id,
       e.occurred_at, e.from_state, e.to_state,
       CASE WHEN o.server_staff_id IS NULL THEN 'channel' ELSE 'staff' END, o.server_staff_id,
       extract(epoch FROM e.occurred_at - o.opened_at) * 1000
FROM rest.guest_order AS o
CROSS JOIN LATERAL (VALUES
    (NULL, 'open', o.opened_at),
    ('open', 'sent', o.opened_at + interval '2 minutes')) AS e (from_state, to_state, occurred_at)
WHERE o.business_id = %(business_id)s AND o.idempotency_key LIKE 'live-%%';

INSERT INTO rest.check_tax
    (business_id, check_tax_id, guest_check_id, tax_rate_id, taxable_amount, rate_pct, tax_amount,
     is_inclusive, is_exempt, exemption_reference, remitted_by)
SELECT %(business_id)s, md5('tax ' || t.tax_rate_id || t.guest_check_id)::uuid, t.guest_check_id,
       t.tax_rate_id, t.taxable_amount, t.rate_pct, t.tax_amount, t.is_inclusive, t.is_exempt,
       t.exemption_reference, t.remitted_by
FROM rest.taxes_of_checks(ARRAY(
    SELECT c.guest_check_id
    FROM rest.guest_check AS c
    JOIN rest.guest_order AS o
        ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
    WHERE c.business_id = %(business_id)s AND o.idempotency_key LIKE 'live-%%')) AS t;

SELECT rest.recalculate_checks(ARRAY(
    SELECT c.guest_check_id
    FROM rest.guest_check AS c
    JOIN rest.guest_order AS o
        ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
    WHERE c.business_id = %(business_id)s AND o.idempotency_key LIKE 'live-%%'));

UPDATE rest.business_day AS d
SET gross_sales = d.gross_sales + n.gross, net_sales = d.net_sales + n.net,
    tax_collected = d.tax_collected + n.taxes, cover_count = d.cover_count + n.covers,
    order_count = d.order_count + n.orders
FROM (
    SELECT o.business_day_id, sum(c.subtotal) AS gross, sum(c.subtotal - c.discount_total) AS net,
           sum(c.tax_total) AS taxes, sum(o.guest_count) AS covers, count(*) AS orders
    FROM rest.guest_order AS o
    JOIN rest.guest_check AS c
        ON c.business_id = o.business_id AND c.guest_order_id = o.guest_order_id
    WHERE o.business_id = %(business_id)s AND o.idempotency_key LIKE 'live-%%'
    GROUP BY o.business_day_id
) AS n
WHERE d.business_id = %(business_id)s AND d.business_day_id = n.business_day_id;

-- A ticket for each station of a course, an item for each line. It takes about two thirds of its
-- target, more when the station is full; what shall be ready together is fired apart.
WITH station AS MATERIALIZED (
    SELECT DISTINCT ON (i.menu_item_id, s.kitchen_id, m.service_mode)
           i.menu_item_id, s.kitchen_id, m.service_mode, s.prep_station_id, i.prep_seconds
    FROM rest.menu_item AS i
    LEFT JOIN rest.menu_group_item AS g
        ON g.business_id = i.business_id AND g.menu_item_id = i.menu_item_id
    JOIN rest.station_routing_rule AS r
        ON r.business_id = i.business_id AND r.route_kind = 'make'
       AND coalesce(r.menu_item_id, r.menu_group_id) IN (i.menu_item_id, g.menu_group_id)
    JOIN rest.prep_station AS s
        ON s.business_id = r.business_id AND s.prep_station_id = r.prep_station_id
    JOIN (VALUES ('dine_in'), ('takeout'), ('delivery')) AS m (service_mode)
        ON r.service_mode IN ('all', m.service_mode)
    WHERE i.business_id = %(business_id)s
    ORDER BY i.menu_item_id, s.kitchen_id, m.service_mode, r.menu_item_id IS NULL, r.priority,
             r.station_routing_rule_id
), sold AS MATERIALIZED (
    SELECT i.check_item_id, i.menu_item_id, i.order_course_id, i.check_seat_id, i.quantity,
           i.special_request, i.sent_at, i.state = 'voided' AS is_voided, o.guest_order_id,
           o.order_number, o.kitchen_id, o.virtual_brand_id, o.guest_profile_id, o.service_mode,
           o.state AS order_state, o.ready_at AS order_ready_at, d.business_date,
           u.course_number, u.fire_rule
    FROM rest.check_item AS i
    JOIN rest.guest_check AS c
        ON c.business_id = i.business_id AND c.guest_check_id = i.guest_check_id
    JOIN rest.guest_order AS o
        ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
       AND o.state IN ('sent', 'ready', 'completed')
    JOIN rest.business_day AS d
        ON d.business_id = o.business_id AND d.business_day_id = o.business_day_id
    JOIN rest.order_course AS u
        ON u.business_id = i.business_id AND u.order_course_id = i.order_course_id
    WHERE i.business_id = %(business_id)s AND i.sent_at IS NOT NULL
), line AS MATERIALIZED (
    SELECT x.check_item_id, x.prep_station_id, max(x.target) AS target
    FROM (
        SELECT l.check_item_id, s.prep_station_id, nullif(s.prep_seconds, 0) AS target
        FROM sold AS l
        JOIN station AS s
            ON s.menu_item_id = l.menu_item_id AND s.kitchen_id = l.kitchen_id
           AND s.service_mode = l.service_mode
        WHERE s.prep_seconds > 0
        UNION ALL
        SELECT l.check_item_id, s.prep_station_id, nullif(p.prep_seconds, 0)
        FROM sold AS l
        JOIN rest.check_item_modifier AS m
            ON m.business_id = %(business_id)s AND m.check_item_id = l.check_item_id
        JOIN rest.modifier_option AS p
            ON p.business_id = m.business_id AND p.modifier_option_id = m.modifier_option_id
        JOIN rest.station_routing_rule AS r
            ON r.business_id = m.business_id AND r.modifier_option_id = m.modifier_option_id
        JOIN rest.prep_station AS s
            ON s.business_id = r.business_id AND s.prep_station_id = r.prep_station_id
           AND s.kitchen_id = l.kitchen_id
    ) AS x
    GROUP BY x.check_item_id, x.prep_station_id
), planned AS (
    SELECT t.*, md5('ticket ' || t.prep_station_id || t.order_course_id)::uuid AS ticket,
           max(t.target) OVER (PARTITION BY t.order_course_id) AS slowest,
           t.station_code = 'BAR' OR t.expo_mode <> 'two_level' AS leaves_alone,
           -- What is ready now got so within the last minutes.
           greatest(t.queued_at + interval '5 seconds',
                    least(t.order_ready_at,
                          %(as_of)s::timestamptz - interval '10 seconds'
                          - get_byte(decode(md5('cap ' || t.guest_order_id), 'hex'), 0)
                            * interval '2.5 seconds')) AS cap
    FROM (
        SELECT n.prep_station_id, l.order_course_id, l.guest_order_id, l.order_number,
               l.kitchen_id, l.virtual_brand_id, l.guest_profile_id, l.order_state,
               l.order_ready_at, l.business_date, l.course_number, l.fire_rule, s.station_code,
               s.parallel_capacity, k.expo_mode, count(*) AS lines,
               count(*) FILTER (WHERE NOT l.is_voided) AS items,
               coalesce(max(n.target) FILTER (WHERE NOT l.is_voided), 60) AS target,
               least(min(l.sent_at), %(as_of)s::timestamptz - interval '25 seconds') AS queued_at
        FROM line AS n
        JOIN sold AS l ON l.check_item_id = n.check_item_id
        JOIN rest.prep_station AS s
            ON s.business_id = %(business_id)s AND s.prep_station_id = n.prep_station_id
        JOIN rest.kitchen AS k ON k.business_id = s.business_id AND k.kitchen_id = s.kitchen_id
        GROUP BY n.prep_station_id, l.order_course_id, l.guest_order_id, l.order_number,
                 l.kitchen_id, l.virtual_brand_id, l.guest_profile_id, l.order_state,
                 l.order_ready_at, l.business_date, l.course_number, l.fire_rule, s.station_code,
                 s.parallel_capacity, k.expo_mode
    ) AS t
), drawn AS (
    -- The sum of four bytes is as good as a bell curve.
    SELECT p.*, exp(-0.39 + 0.3 * (get_byte(b.bytes, 0) + get_byte(b.bytes, 1)
                                   + get_byte(b.bytes, 2) + get_byte(b.bytes, 3) - 510) / 147.2)
                AS pace,
           get_byte(b.bytes, 4) AS place
    FROM planned AS p
    CROSS JOIN LATERAL (SELECT decode(md5('pace ' || p.ticket), 'hex') AS bytes) AS b
), fired AS (
    SELECT d.*,
           CASE WHEN d.order_state = 'sent' AND d.fire_rule = 'by_prep_time'
                THEN d.queued_at + (d.slowest - d.target) * interval '1 second'
                WHEN d.order_state = 'sent' OR d.course_number = 1 THEN d.queued_at
                ELSE greatest(d.queued_at, d.cap - (d.target * d.pace + d.place %% 40)
                                                   * interval '1 second') END AS fired_at
    FROM drawn AS d
), loaded AS (
    SELECT f.*, f.target * f.pace * (1 + 0.04 * greatest(0, count(*) OVER (
                    PARTITION BY f.prep_station_id ORDER BY f.fired_at
                    RANGE BETWEEN interval '8 minutes' PRECEDING AND CURRENT ROW)
                    - f.parallel_capacity)) * interval '1 second' AS takes,
           row_number() OVER (
               PARTITION BY f.kitchen_id
               ORDER BY f.order_state = 'sent' AND f.items > 0 AND f.fired_at <= %(as_of)s DESC,
                        f.fired_at DESC, f.ticket) = 1 AS is_last
    FROM fired AS f
), cooked AS (
    SELECT l.*,
           CASE WHEN l.order_state <> 'sent' THEN least(l.fired_at + l.takes, l.cap)
                -- What a kitchen got last is still in the making, however quick it is.
                WHEN NOT l.is_last
                 AND l.fired_at + l.takes < %(as_of)s::timestamptz - interval '10 seconds'
                THEN l.fired_at + l.takes END AS ready_at
    FROM loaded AS l
), passed AS (
    SELECT c.*,
           CASE WHEN c.expo_mode <> 'two_level' THEN c.ready_at
                WHEN c.leaves_alone THEN c.ready_at + (15 + c.place %% 30) * interval '1 second'
                WHEN bool_and(c.ready_at IS NOT NULL) OVER course
                THEN max(c.ready_at) OVER course
                     + (10 + ('x' || substr(md5(c.order_course_id::text), 1, 7))::bit(28)::integer
                             %% 40) * interval '1 second' END AS left_at
    FROM cooked AS c
    WINDOW course AS (PARTITION BY c.order_course_id, c.leaves_alone)
), ticket AS MATERIALIZED (
    SELECT p.*,
           CASE WHEN p.items = 0 THEN 'cancelled'
                WHEN p.fired_at > %(as_of)s::timestamptz THEN 'queued'
                WHEN p.left_at <= %(as_of)s::timestamptz THEN 'bumped'
                WHEN p.ready_at IS NOT NULL THEN 'ready'
                WHEN p.fired_at + p.takes * 0.3 < %(as_of)s::timestamptz THEN 'in_progress'
                ELSE 'fired' END AS state,
           p.fired_at + least(p.takes * 0.15, coalesce(p.ready_at - p.fired_at, p.takes) * 0.5,
                              interval '50 seconds') AS started_at
    FROM passed AS p
), made AS (
    INSERT INTO rest.kitchen_ticket
        (business_id, kitchen_ticket_id, guest_order_id, kitchen_id, prep_station_id,
         order_course_id, virtual_brand_id, ticket_number, business_date, ticket_kind, state,
         priority, item_count, target_seconds, queued_at, fired_at, started_at, ready_at,
         bumped_at, due_at, elapsed_seconds)
    SELECT %(business_id)s, t.ticket, t.guest_order_id, t.kitchen_id, t.prep_station_id,
           t.order_course_id, t.virtual_brand_id, t.order_number || '-' || t.course_number,
           t.business_date, 'prep', t.state,
           CASE WHEN g.vip_level IN ('vip', 'house') THEN 'vip' ELSE 'normal' END, t.items,
           t.target, t.queued_at, t.fired_at,
           CASE WHEN t.state IN ('in_progress', 'ready', 'bumped') THEN t.started_at END,
           CASE WHEN t.state IN ('ready', 'bumped') THEN t.ready_at END,
           CASE WHEN t.state = 'bumped' THEN t.left_at END,
           t.fired_at + t.target * interval '1 second',
           CASE WHEN t.state IN ('ready', 'bumped')
                THEN round(extract(epoch FROM t.ready_at - t.fired_at)) END
    FROM ticket AS t
    LEFT JOIN rest.guest_profile AS g
        ON g.business_id = %(business_id)s AND g.guest_profile_id = t.guest_profile_id
), cook AS (
    SELECT x.staff_member_id, x.department, row_number() OVER (
               PARTITION BY x.department ORDER BY x.staff_member_id) - 1 AS place,
           count(*) OVER (PARTITION BY x.department) AS cooks
    FROM (
        SELECT DISTINCT s.staff_member_id, r.department
        FROM rest.staff_job AS s
        JOIN rest.job_role AS r
            ON r.business_id = s.business_id AND r.job_role_id = s.job_role_id
        WHERE s.business_id = %(business_id)s AND r.department IN ('kitchen', 'bar')
    ) AS x
), asked AS (
    SELECT m.check_item_id, bool_or(m.pre_modifier = 'allergy') AS allergy,
           string_agg(CASE WHEN m.pre_modifier = 'none' THEN m.display_name
                           ELSE m.pre_modifier || ' ' || m.display_name END, ', '
                      ORDER BY m.sequence_no, m.check_item_modifier_id) AS choices
    FROM rest.check_item_modifier AS m
    WHERE m.business_id = %(business_id)s
    GROUP BY m.check_item_id
)
INSERT INTO rest.kitchen_ticket_item
    (business_id, kitchen_ticket_item_id, kitchen_ticket_id, check_item_id, cooked_by_staff_id,
     quantity, state, hold_seconds, target_seconds, started_at, done_at, actual_seconds,
     modifier_summary, has_allergy_flag)
SELECT %(business_id)s, md5('at ' || t.prep_station_id || l.check_item_id)::uuid, t.ticket,
       l.check_item_id,
       CASE WHEN i.state IN ('started', 'done') THEN w.staff_member_id END, l.quantity, i.state,
       h.hold, l.target,
       CASE WHEN i.state IN ('started', 'done')
            THEN least(i.done_at,
                       greatest(t.started_at, t.fired_at + h.hold * interval '1 second')) END,
       CASE WHEN i.state = 'done' THEN i.done_at END,
       CASE WHEN i.state = 'done'
            THEN greatest(0, round(extract(epoch FROM i.done_at - t.fired_at)) - h.hold) END,
       nullif(concat_ws(', ', a.choices, l.special_request), ''),
       coalesce(s.has_allergy_alert, false) OR coalesce(a.allergy, false)
FROM ticket AS t
JOIN (
    SELECT n.prep_station_id, n.target, x.*,
           row_number() OVER (PARTITION BY n.prep_station_id, x.order_course_id
                              ORDER BY x.check_item_id) AS place
    FROM line AS n
    JOIN sold AS x ON x.check_item_id = n.check_item_id
) AS l ON l.prep_station_id = t.prep_station_id AND l.order_course_id = t.order_course_id
CROSS JOIN LATERAL (
    SELECT CASE WHEN l.is_voided THEN 'voided'
                WHEN t.state IN ('ready', 'bumped') THEN 'done'
                WHEN t.state = 'in_progress' THEN 'started'
                ELSE 'waiting' END AS state,
           t.ready_at - (t.lines - l.place) * least(interval '20 seconds',
                                                    (t.ready_at - t.started_at) / (t.lines + 1))
               AS done_at
) AS i
CROSS JOIN LATERAL (SELECT greatest(0, t.target - coalesce(l.target, t.target)) AS hold) AS h
JOIN cook AS w
    ON w.department = CASE t.station_code WHEN 'BAR' THEN 'bar' ELSE 'kitchen' END
   AND w.place = t.place %% w.cooks
LEFT JOIN rest.check_seat AS s
    ON s.business_id = %(business_id)s AND s.check_seat_id = l.check_seat_id
LEFT JOIN asked AS a ON a.check_item_id = l.check_item_id;

-- The pass of the restaurant sees every course with food.
INSERT INTO rest.kitchen_ticket
    (business_id, kitchen_ticket_id, guest_order_id, kitchen_id, prep_station_id,
     order_course_id, virtual_brand_id, ticket_number, business_date, ticket_kind, state, priority,
     item_count, target_seconds, queued_at, fired_at, started_at, ready_at, bumped_at, due_at,
     elapsed_seconds)
SELECT t.business_id, md5('pass ' || t.order_course_id)::uuid, t.guest_order_id, t.kitchen_id,
       e.prep_station_id, t.order_course_id, t.virtual_brand_id, t.ticket_number, t.business_date,
       'expo', CASE WHEN t.is_out THEN 'bumped' WHEN t.is_ready THEN 'ready' ELSE 'fired' END,
       t.priority, t.items, t.target, t.queued_at, t.fired_at, NULL,
       CASE WHEN t.is_ready THEN t.ready_at END, CASE WHEN t.is_out THEN t.bumped_at END,
       t.fired_at + t.target * interval '1 second',
       CASE WHEN t.is_out THEN round(extract(epoch FROM t.bumped_at - t.fired_at)) END
FROM (
    SELECT x.business_id, x.guest_order_id, x.kitchen_id, x.order_course_id, x.virtual_brand_id,
           x.ticket_number, x.business_date, max(x.priority) AS priority,
           sum(x.item_count) AS items, max(x.target_seconds) AS target,
           min(x.queued_at) AS queued_at, min(least(x.fired_at, %(as_of)s)) AS fired_at,
           max(x.ready_at) AS ready_at, max(x.bumped_at) AS bumped_at,
           bool_and(x.state IN ('ready', 'bumped')) AS is_ready,
           bool_and(x.state = 'bumped') AS is_out
    FROM rest.kitchen_ticket AS x
    JOIN rest.prep_station AS s
        ON s.business_id = x.business_id AND s.prep_station_id = x.prep_station_id
       AND s.station_code <> 'BAR'
    WHERE x.business_id = %(business_id)s AND x.state <> 'cancelled'
    GROUP BY x.business_id, x.guest_order_id, x.kitchen_id, x.order_course_id, x.virtual_brand_id,
             x.ticket_number, x.business_date
) AS t
JOIN rest.kitchen AS k
    ON k.business_id = t.business_id AND k.kitchen_id = t.kitchen_id
   AND k.expo_mode = 'two_level'
JOIN rest.prep_station AS e
    ON e.business_id = k.business_id AND e.kitchen_id = k.kitchen_id AND e.station_code = 'EXPO';

-- What a guest sent back is made again, in a rush.
WITH again AS MATERIALIZED (
    SELECT n.*, md5('again ' || n.kitchen_ticket_item_id)::uuid AS ticket
    FROM (
        SELECT i.kitchen_ticket_item_id, i.check_item_id, i.quantity, i.target_seconds,
               i.cooked_by_staff_id, i.modifier_summary, i.has_allergy_flag,
               i.kitchen_ticket_id AS old_ticket,
               o.handed_off_at + interval '3 minutes' AS told_at,
               row_number() OVER (ORDER BY md5('back ' || i.kitchen_ticket_item_id)) AS place,
               count(*) OVER () AS eligible
        FROM rest.kitchen_ticket_item AS i
        JOIN rest.kitchen_ticket AS t
            ON t.business_id = i.business_id AND t.kitchen_ticket_id = i.kitchen_ticket_id
           AND t.state = 'bumped'
        JOIN rest.guest_order AS o
            ON o.business_id = t.business_id AND o.guest_order_id = t.guest_order_id
           AND o.service_mode = 'dine_in'
           AND o.completed_at > o.handed_off_at + interval '20 minutes'
        WHERE i.business_id = %(business_id)s AND i.state = 'done' AND i.target_seconds > 60
    ) AS n
    -- One in 125 of all lines; only some of them can be.
    WHERE n.place <= greatest(1, (SELECT count(*) / 125
                                  FROM rest.kitchen_ticket_item AS x
                                  WHERE x.business_id = %(business_id)s))
), made AS (
    INSERT INTO rest.kitchen_ticket
        (business_id, kitchen_ticket_id, guest_order_id, kitchen_id, prep_station_id,
         order_course_id, virtual_brand_id, ticket_number, business_date, ticket_kind, state,
         priority, item_count, target_seconds, queued_at, fired_at, started_at, ready_at,
         bumped_at, due_at, elapsed_seconds)
    SELECT t.business_id, a.ticket, t.guest_order_id, t.kitchen_id, t.prep_station_id,
           t.order_course_id, t.virtual_brand_id,
           t.ticket_number || '-R' || row_number() OVER (PARTITION BY t.kitchen_ticket_id
                                                         ORDER BY a.kitchen_ticket_item_id),
           t.business_date, 'remake', 'bumped', 'rush', 1, a.target_seconds, a.told_at, a.told_at,
           a.told_at + interval '10 seconds',
           a.told_at + a.target_seconds * interval '0.55 seconds',
           a.told_at + a.target_seconds * interval '0.55 seconds',
           a.told_at + a.target_seconds * interval '1 second', round(a.target_seconds * 0.55)
    FROM again AS a
    JOIN rest.kitchen_ticket AS t
        ON t.business_id = %(business_id)s AND t.kitchen_ticket_id = a.old_ticket
)
INSERT INTO rest.kitchen_ticket_item
    (business_id, kitchen_ticket_item_id, kitchen_ticket_id, check_item_id, cooked_by_staff_id,
     remake_of_item_id, remake_reason_id, quantity, state, target_seconds, started_at, done_at,
     actual_seconds, modifier_summary, has_allergy_flag)
SELECT %(business_id)s, md5('remade ' || a.kitchen_ticket_item_id)::uuid, a.ticket,
       a.check_item_id, a.cooked_by_staff_id, a.kitchen_ticket_item_id, r.reason_code_id,
       a.quantity, 'done', a.target_seconds, a.told_at + interval '10 seconds',
       a.told_at + a.target_seconds * interval '0.55 seconds', round(a.target_seconds * 0.55),
       a.modifier_summary, a.has_allergy_flag
FROM again AS a
JOIN (
    SELECT x.reason_code_id, row_number() OVER (ORDER BY x.code) AS place,
           count(*) OVER () AS codes
    FROM rest.reason_code AS x
    WHERE x.business_id = %(business_id)s AND x.reason_group = 'remake'
) AS r ON r.place = a.place %% r.codes + 1;

-- A few tickets were bumped too early and called back.
UPDATE rest.kitchen_ticket AS t
SET recall_count = 1
FROM (
    SELECT x.kitchen_ticket_id,
           row_number() OVER (ORDER BY md5('recall ' || x.kitchen_ticket_id)) AS place,
           count(*) OVER () AS tickets
    FROM rest.kitchen_ticket AS x
    WHERE x.business_id = %(business_id)s AND x.state = 'bumped' AND x.ticket_kind = 'prep'
      AND x.ready_at > x.started_at + interval '90 seconds'
) AS n
WHERE t.business_id = %(business_id)s AND t.kitchen_ticket_id = n.kitchen_ticket_id
  AND n.place <= greatest(1, n.tickets * 15 / 1000);

-- A course is ready when its stations are; what the kitchens finished by now is ready.
UPDATE rest.order_course AS u
SET ready_at = greatest(u.fired_at, n.ready_at),
    state = CASE u.state WHEN 'fired' THEN 'ready' ELSE u.state END
FROM (
    SELECT t.order_course_id, max(t.ready_at) AS ready_at
    FROM rest.kitchen_ticket AS t
    WHERE t.business_id = %(business_id)s AND t.ticket_kind = 'prep' AND t.state <> 'cancelled'
    GROUP BY t.order_course_id
    HAVING bool_and(t.state IN ('ready', 'bumped'))
) AS n
WHERE u.business_id = %(business_id)s AND u.order_course_id = n.order_course_id
  AND u.state IN ('fired', 'ready', 'served');

UPDATE rest.check_item AS i
SET state = CASE WHEN n.is_done THEN 'ready' ELSE 'preparing' END
FROM (
    SELECT x.check_item_id, bool_and(x.state = 'done') AS is_done
    FROM rest.kitchen_ticket_item AS x
    WHERE x.business_id = %(business_id)s AND x.state <> 'voided'
    GROUP BY x.check_item_id
    HAVING bool_or(x.state IN ('started', 'done'))
) AS n
WHERE i.business_id = %(business_id)s AND i.check_item_id = n.check_item_id AND i.state = 'sent';

UPDATE rest.guest_order AS o
SET state = 'ready', ready_at = n.ready_at
FROM (
    SELECT u.guest_order_id, max(u.ready_at) AS ready_at
    FROM rest.order_course AS u
    WHERE u.business_id = %(business_id)s
      AND EXISTS (SELECT FROM rest.check_item AS i
                  WHERE i.business_id = u.business_id AND i.order_course_id = u.order_course_id)
    GROUP BY u.guest_order_id
    HAVING bool_and(u.state = 'ready')
) AS n
WHERE o.business_id = %(business_id)s AND o.guest_order_id = n.guest_order_id AND o.state = 'sent'
  AND n.ready_at >= o.opened_at;

INSERT INTO rest.order_status_event
    (business_id, order_status_event_id, guest_order_id, occurred_at, from_state, to_state,
     actor_kind, latency_ms)
SELECT o.business_id, md5('event ready' || o.guest_order_id)::uuid, o.guest_order_id, o.ready_at,
       'sent', 'ready', 'system', extract(epoch FROM o.ready_at - o.opened_at) * 1000
FROM rest.guest_order AS o
WHERE o.business_id = %(business_id)s AND o.state = 'ready'
  AND NOT EXISTS (SELECT FROM rest.order_status_event AS e
                  WHERE e.business_id = o.business_id AND e.guest_order_id = o.guest_order_id
                    AND e.to_state = 'ready');

-- The trail: queued, fired, started, one after the other done, ready and out.
INSERT INTO rest.kitchen_ticket_event
    (business_id, kitchen_ticket_event_id, kitchen_ticket_id, prep_station_id, pos_device_id,
     actor_staff_id, occurred_at, event_kind, from_state, to_state, ticket_age_ms, station_depth,
     payload)
SELECT t.business_id, md5(concat(e.kind, ' ', e.number, t.kitchen_ticket_id, e.item))::uuid,
       t.kitchen_ticket_id, t.prep_station_id, s.display_device_id, e.actor, e.at, e.kind,
       e.former, e.later, extract(epoch FROM e.at - t.queued_at) * 1000, t.depth,
       CASE WHEN e.item IS NOT NULL THEN jsonb_build_object('items', jsonb_build_array(e.item)) END
FROM (
    SELECT x.*,
           count(*) OVER (PARTITION BY x.prep_station_id ORDER BY x.fired_at
                          RANGE BETWEEN interval '8 minutes' PRECEDING AND CURRENT ROW) AS depth
    FROM rest.kitchen_ticket AS x
    WHERE x.business_id = %(business_id)s
) AS t
JOIN rest.prep_station AS s
    ON s.business_id = t.business_id AND s.prep_station_id = t.prep_station_id
JOIN (
    SELECT v.*
    FROM rest.kitchen_ticket AS x
    LEFT JOIN (
        SELECT n.kitchen_ticket_id, min(n.cooked_by_staff_id::text)::uuid AS staff
        FROM rest.kitchen_ticket_item AS n
        WHERE n.business_id = %(business_id)s
        GROUP BY n.kitchen_ticket_id
    ) AS c ON c.kitchen_ticket_id = x.kitchen_ticket_id
    LEFT JOIN rest.order_course AS u
        ON u.business_id = x.business_id AND u.order_course_id = x.order_course_id
    CROSS JOIN LATERAL (VALUES
        (x.kitchen_ticket_id, NULL::uuid, 'queued', 1, NULL, 'queued', u.fired_by_staff_id,
         CASE WHEN x.fired_at > x.queued_at THEN x.queued_at END),
        (x.kitchen_ticket_id, NULL, 'fired', 1,
         CASE WHEN x.fired_at > x.queued_at THEN 'queued' END, 'fired', u.fired_by_staff_id,
         CASE WHEN x.state <> 'queued' THEN x.fired_at END),
        (x.kitchen_ticket_id, NULL, 'started', 1, 'fired', 'in_progress', c.staff, x.started_at),
        -- Called back after two thirds of its time.
        (x.kitchen_ticket_id, NULL, 'bumped', 1, 'in_progress', 'bumped', c.staff,
         CASE WHEN x.recall_count > 0
              THEN x.started_at + (x.ready_at - x.started_at) * 0.3 END),
        (x.kitchen_ticket_id, NULL, 'recalled', 1, 'bumped', 'recalled', c.staff,
         CASE WHEN x.recall_count > 0
              THEN x.started_at + (x.ready_at - x.started_at) * 0.4 END),
        (x.kitchen_ticket_id, NULL, 'ready', 1,
         CASE WHEN x.recall_count > 0 THEN 'recalled'
              WHEN x.started_at IS NULL THEN 'fired' ELSE 'in_progress' END, 'ready', c.staff,
         CASE WHEN x.state = 'ready' OR x.bumped_at > x.ready_at THEN x.ready_at END),
        (x.kitchen_ticket_id, NULL, 'bumped', 2,
         CASE WHEN x.bumped_at > x.ready_at THEN 'ready'
              WHEN x.recall_count > 0 THEN 'recalled'
              WHEN x.started_at IS NULL THEN 'fired' ELSE 'in_progress' END, 'bumped',
         coalesce(c.staff, u.fired_by_staff_id), x.bumped_at),
        (x.kitchen_ticket_id, NULL, 'voided', 1, 'fired', 'cancelled', u.fired_by_staff_id,
         CASE WHEN x.state = 'cancelled' THEN x.fired_at + interval '1 minute' END))
        AS v (ticket, item, kind, number, former, later, actor, at)
    WHERE x.business_id = %(business_id)s AND v.at IS NOT NULL
    UNION ALL
    SELECT n.kitchen_ticket_id, n.kitchen_ticket_item_id, 'item_done', 1, NULL, NULL,
           n.cooked_by_staff_id, n.done_at - interval '1 millisecond'
    FROM rest.kitchen_ticket_item AS n
    WHERE n.business_id = %(business_id)s AND n.state = 'done'
) AS e (ticket, item, kind, number, former, later, actor, at)
    ON e.ticket = t.kitchen_ticket_id;

-- The load of the stations, minute by minute, as far back as there are enough tickets for it.
WITH span AS (
    SELECT least(3300, greatest(45, count(*) / 3)) AS minutes
    FROM rest.kitchen_ticket AS t
    WHERE t.business_id = %(business_id)s
), ticket AS MATERIALIZED (
    SELECT t.prep_station_id, t.kitchen_ticket_id, t.fired_at, t.due_at, t.target_seconds,
           t.item_count, t.elapsed_seconds, t.ready_at,
           coalesce(t.ready_at, %(as_of)s::timestamptz + interval '1 minute') AS until
    FROM rest.kitchen_ticket AS t
    CROSS JOIN span AS p
    WHERE t.business_id = %(business_id)s AND t.state NOT IN ('queued', 'cancelled')
      AND t.ticket_kind <> 'expo'
      AND t.fired_at > %(as_of)s::timestamptz - (p.minutes + 60) * interval '1 minute'
), open AS (
    SELECT t.prep_station_id, m.minute, count(*) AS tickets, sum(t.item_count) AS items,
           sum(greatest(0, t.target_seconds - extract(epoch FROM m.minute - t.fired_at)))
               AS backlog,
           max(extract(epoch FROM m.minute - t.fired_at)) AS oldest,
           coalesce(sum(t.item_count) FILTER (WHERE m.minute > t.due_at), 0) AS late
    FROM ticket AS t
    CROSS JOIN LATERAL generate_series(date_trunc('minute', t.fired_at) + interval '1 minute',
                                       t.until - interval '1 microsecond',
                                       interval '1 minute') AS m (minute)
    GROUP BY t.prep_station_id, m.minute
), done AS (
    SELECT t.prep_station_id, m.minute,
           count(*) FILTER (WHERE t.ready_at > m.minute - interval '5 minutes') AS tickets,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY t.elapsed_seconds) AS p50
    FROM ticket AS t
    CROSS JOIN LATERAL generate_series(date_trunc('minute', t.ready_at) + interval '1 minute',
                                       t.ready_at + interval '15 minutes',
                                       interval '1 minute') AS m (minute)
    WHERE t.ready_at IS NOT NULL
    GROUP BY t.prep_station_id, m.minute
)
INSERT INTO rest.station_load_sample
    (business_id, station_load_sample_id, prep_station_id, sampled_at, open_tickets, open_items,
     backlog_seconds, oldest_ticket_seconds, late_items, bumped_last_5m, p50_seconds_15m,
     utilisation_pct, throttle_state)
SELECT s.business_id,
       md5('load ' || s.prep_station_id || extract(epoch FROM g.minute))::uuid, s.prep_station_id,
       g.minute, coalesce(o.tickets, 0), coalesce(o.items, 0), coalesce(o.backlog, 0), o.oldest,
       coalesce(o.late, 0), coalesce(d.tickets, 0), d.p50,
       least(100, round(100.0 * coalesce(o.tickets, 0) / s.parallel_capacity, 1)),
       CASE WHEN o.tickets > s.parallel_capacity THEN 'busy' ELSE 'normal' END
FROM rest.prep_station AS s
CROSS JOIN span AS p
CROSS JOIN LATERAL (
    SELECT date_trunc('minute', %(as_of)s::timestamptz) - n.minute * interval '1 minute' AS minute
    FROM generate_series(0, p.minutes - 1) AS n (minute)
) AS g
LEFT JOIN open AS o ON o.prep_station_id = s.prep_station_id AND o.minute = g.minute
LEFT JOIN done AS d ON d.prep_station_id = s.prep_station_id AND d.minute = g.minute
WHERE s.business_id = %(business_id)s AND NOT s.is_expo;

-- What the stations learned from what they made.
UPDATE rest.prep_time_standard AS p
SET learned_p50_seconds = n.p50, learned_p90_seconds = n.p90, sample_count = n.samples,
    computed_at = %(as_of)s::timestamptz - interval '3 hours'
FROM (
    SELECT i.menu_item_id, t.prep_station_id, count(*) AS samples,
           round(percentile_cont(0.5) WITHIN GROUP (ORDER BY x.actual_seconds)) AS p50,
           round(percentile_cont(0.9) WITHIN GROUP (ORDER BY x.actual_seconds)) AS p90
    FROM rest.kitchen_ticket_item AS x
    JOIN rest.kitchen_ticket AS t
        ON t.business_id = x.business_id AND t.kitchen_ticket_id = x.kitchen_ticket_id
    JOIN rest.check_item AS i
        ON i.business_id = x.business_id AND i.check_item_id = x.check_item_id
    WHERE x.business_id = %(business_id)s AND x.state = 'done'
      AND x.done_at < %(as_of)s::timestamptz - interval '3 hours'
    GROUP BY i.menu_item_id, t.prep_station_id
) AS n
WHERE p.business_id = %(business_id)s AND p.menu_item_id = n.menu_item_id
  AND p.prep_station_id = n.prep_station_id AND p.service_period_id IS NULL;
