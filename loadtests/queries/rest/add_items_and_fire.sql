-- A server taps Send: two dishes of the card are entered in a course, routed and fired.
-- budget: p95 150ms
-- weight: 8
-- mode: write
-- rows: >=0
-- params: order_course_id from rest.order_course where state IN ('held', 'fired')
-- values: place = choice(0, 3, 7, 11)
WITH course AS (
    SELECT u.business_id, c.guest_check_id, u.order_course_id, o.location_id
    FROM rest.order_course AS u
    JOIN rest.guest_order AS o
        ON o.business_id = %(business_id)s AND o.guest_order_id = u.guest_order_id
       AND o.state IN ('open', 'sent', 'ready')
    JOIN rest.guest_check AS c
        ON c.business_id = %(business_id)s AND c.guest_order_id = o.guest_order_id
       AND c.state = 'open'
    WHERE u.business_id = %(business_id)s AND u.order_course_id = %(order_course_id)s
      AND u.state IN ('held', 'fired', 'ready')
      AND (SELECT count(*)
           FROM rest.check_item AS i
           WHERE i.business_id = %(business_id)s
             AND i.order_course_id = u.order_course_id) < 120
    ORDER BY c.guest_check_id
    LIMIT 1
), dish AS (
    SELECT l.menu_item_id
    FROM course AS u
    JOIN rest.menu_item_location AS l
        ON l.business_id = %(business_id)s AND l.location_id = u.location_id
       AND l.stock_mode = 'unlimited'
    JOIN rest.menu_item AS m
        ON m.business_id = %(business_id)s AND m.menu_item_id = l.menu_item_id
       AND m.item_kind = 'food'
    ORDER BY m.item_code
    OFFSET %(place)s::integer
    LIMIT 2
)
SELECT u.business_id, u.order_course_id, s.ticket AS kitchen_ticket_id
FROM course AS u
CROSS JOIN LATERAL rest.send_lines(
    u.guest_check_id, u.order_course_id,
    (SELECT jsonb_agg(jsonb_build_object('item', d.menu_item_id)) FROM dish AS d)) AS s (ticket)
