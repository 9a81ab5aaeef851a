-- A server taps Send: two dishes of the card are entered in a new order, routed and fired.
-- budget: p95 150ms
-- weight: 8
-- mode: write
-- rows: >=1
-- params: guest_order_id from rest.guest_order where state IN ('open', 'sent', 'ready') AND external_order_ref IS NULL AND EXISTS (SELECT FROM rest.order_course AS u WHERE u.business_id = guest_order.business_id AND u.guest_order_id = guest_order.guest_order_id AND u.state IN ('held', 'fired', 'ready')) AND EXISTS (SELECT FROM rest.business_day AS d WHERE d.business_id = guest_order.business_id AND d.business_day_id = guest_order.business_day_id AND d.state = 'open')
-- values: place = choice(0, 3, 7, 11)
-- values: order_ref = text('table-')
WITH seated AS (
    -- A party eats so much and no more, so each has an order of its own, like one of the same day.
    INSERT INTO rest.guest_order
        (business_id, server_staff_id, location_id, business_day_id, sales_channel_id, kitchen_id,
         order_number, service_mode, guest_count, delivery_address_doc, idempotency_key)
    SELECT o.business_id, o.server_staff_id, o.location_id, o.business_day_id, o.sales_channel_id,
           o.kitchen_id, %(order_ref)s, o.service_mode, 2, o.delivery_address_doc, %(order_ref)s
    FROM rest.guest_order AS o
    WHERE o.business_id = %(business_id)s AND o.guest_order_id = %(guest_order_id)s
    RETURNING business_id, guest_order_id, location_id
), bill AS (
    INSERT INTO rest.guest_check (business_id, guest_order_id, check_number, currency)
    SELECT s.business_id, s.guest_order_id, '1', c.currency
    FROM seated AS s
    CROSS JOIN LATERAL (
        SELECT x.currency
        FROM rest.guest_check AS x
        WHERE x.business_id = %(business_id)s AND x.guest_order_id = %(guest_order_id)s
        LIMIT 1
    ) AS c
    RETURNING guest_order_id, guest_check_id
), course AS (
    INSERT INTO rest.order_course (business_id, guest_order_id, course_number, course_kind)
    SELECT s.business_id, s.guest_order_id, 1, 'main'
    FROM seated AS s
    RETURNING guest_order_id, order_course_id
), dish AS (
    SELECT l.menu_item_id
    FROM seated AS s
    JOIN rest.menu_item_location AS l
        ON l.business_id = %(business_id)s AND l.location_id = s.location_id
       AND l.stock_mode = 'unlimited'
    JOIN rest.menu_item AS m
        ON m.business_id = %(business_id)s AND m.menu_item_id = l.menu_item_id
       AND m.item_kind = 'food'
    ORDER BY m.item_code
    OFFSET %(place)s::integer
    LIMIT 2
)
SELECT s.business_id, u.order_course_id, t.ticket AS kitchen_ticket_id
FROM seated AS s
JOIN bill AS b ON b.guest_order_id = s.guest_order_id
JOIN course AS u ON u.guest_order_id = s.guest_order_id
-- On a cluster, the node that has the order answers.
JOIN rest.guest_order AS o
    ON o.business_id = %(business_id)s AND o.guest_order_id = %(guest_order_id)s
CROSS JOIN LATERAL rest.send_lines(
    b.guest_check_id, u.order_course_id,
    (SELECT jsonb_agg(jsonb_build_object('item', d.menu_item_id)) FROM dish AS d)) AS t (ticket)
