SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Where an order comes from: the dining room mostly, marketplaces for the cloud kitchen.
UPDATE rest.guest_order AS o
SET sales_channel_id = c.sales_channel_id,
    service_mode = CASE WHEN c.channel_kind = 'in_store' THEN 'dine_in'
                        WHEN c.channel_kind = 'marketplace' THEN 'delivery'
                        ELSE 'takeout' END,
    server_staff_id = CASE WHEN c.channel_kind IN ('in_store', 'phone')
                           THEN o.server_staff_id END,
    kitchen_id = k.kitchen_id,
    virtual_brand_id = v.virtual_brand_id,
    pickup_name = CASE WHEN c.channel_kind <> 'in_store' THEN 'Guest ' || o.order_number END,
    delivery_address_doc = CASE WHEN c.channel_kind = 'marketplace'
                                THEN jsonb_build_object('street', n.place %% 900 || ' Lake St',
                                                        'note', 'Leave at the door') END,
    external_order_ref = CASE WHEN c.channel_kind = 'marketplace'
                              THEN 'MX-' || o.order_number END
FROM (
    SELECT x.guest_order_id, l.service_format,
           ('x' || substr(md5(x.guest_order_id::text), 1, 7))::bit(28)::integer AS place
    FROM rest.guest_order AS x
    JOIN rest.location AS l ON l.business_id = x.business_id AND l.location_id = x.location_id
    WHERE x.business_id = %(business_id)s
) AS n
JOIN rest.sales_channel AS c
    ON c.business_id = %(business_id)s
   AND c.channel_code = CASE
           WHEN n.service_format = 'full_service' AND n.place %% 100 < 82 THEN 'HOUSE'
           WHEN n.service_format = 'full_service' AND n.place %% 100 < 94 THEN 'WEB'
           WHEN n.service_format = 'full_service' THEN 'PHONE'
           WHEN n.place %% 100 < 40 THEN 'UBER'
           WHEN n.place %% 100 < 70 THEN 'DASH'
           WHEN n.place %% 100 < 86 THEN 'GRUB'
           ELSE 'WEB' END
JOIN rest.kitchen AS k
    ON k.business_id = %(business_id)s
   AND k.kitchen_kind = CASE WHEN n.service_format = 'full_service' THEN 'restaurant'
                             ELSE 'cloud' END
JOIN rest.virtual_brand AS v
    ON v.business_id = %(business_id)s
   AND v.brand_code = CASE WHEN n.service_format = 'full_service' THEN 'FLAG'
                           WHEN n.place %% 3 = 0 THEN 'WINGS'
                           WHEN n.place %% 3 = 1 THEN 'BOWLS' ELSE 'SMASH' END
WHERE o.business_id = %(business_id)s AND o.guest_order_id = n.guest_order_id;

-- The parties that sat down ordered: orders and sessions of a day are paired in turn.
UPDATE rest.guest_order AS o
SET table_session_id = s.table_session_id, guest_count = s.party_size
FROM (
    SELECT x.guest_order_id, d.business_date,
           row_number() OVER (PARTITION BY d.business_date ORDER BY x.guest_order_id) AS place
    FROM rest.guest_order AS x
    JOIN rest.business_day AS d
        ON d.business_id = x.business_id AND d.business_day_id = x.business_day_id
    WHERE x.business_id = %(business_id)s AND x.service_mode = 'dine_in'
) AS n
JOIN (
    SELECT x.table_session_id, x.business_date, x.party_size,
           row_number() OVER (PARTITION BY x.business_date ORDER BY x.table_session_id) AS place
    FROM rest.table_session AS x
    WHERE x.business_id = %(business_id)s AND x.joined_to_session_id IS NULL
) AS s ON s.business_date = n.business_date AND s.place = n.place
WHERE o.business_id = %(business_id)s AND o.guest_order_id = n.guest_order_id;

-- One check for each order.
INSERT INTO rest.guest_check
    (business_id, guest_check_id, guest_order_id, guest_profile_id, owner_staff_id, check_number,
     currency, opened_at, state)
SELECT o.business_id, md5('check of ' || o.guest_order_id)::uuid, o.guest_order_id,
       o.guest_profile_id, o.server_staff_id, '1', l.currency, o.opened_at,
       CASE WHEN o.state IN ('cancelled', 'voided') THEN 'voided' ELSE 'open' END
FROM rest.guest_order AS o
JOIN rest.location AS l ON l.business_id = o.business_id AND l.location_id = o.location_id
WHERE o.business_id = %(business_id)s;

INSERT INTO rest.check_seat
    (business_id, check_seat_id, guest_check_id, seat_number, seat_label, is_shared,
     has_allergy_alert, allergy_note)
SELECT c.business_id, md5('seat ' || n.seat || c.guest_check_id)::uuid, c.guest_check_id, n.seat,
       CASE WHEN n.seat = 0 THEN 'Middle' ELSE 'Seat ' || n.seat END, n.seat = 0,
       n.seat = 1 AND o.order_number LIKE '%%7',
       CASE WHEN n.seat = 1 AND o.order_number LIKE '%%7' THEN 'Tree nuts' END
FROM rest.guest_check AS c
JOIN rest.guest_order AS o
    ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
CROSS JOIN LATERAL generate_series(0, least(o.guest_count, 6)) AS n (seat)
WHERE c.business_id = %(business_id)s AND o.service_mode = 'dine_in';

-- Drinks go out at once, the rest is fired after them.
INSERT INTO rest.order_course
    (business_id, order_course_id, guest_order_id, course_number, course_kind, fire_rule, state,
     fired_by_staff_id, fired_at, ready_at, served_at)
SELECT o.business_id, md5('course ' || n.number || o.guest_order_id)::uuid, o.guest_order_id,
       n.number, n.kind, CASE n.number WHEN 1 THEN 'immediate' ELSE 'after_previous' END,
       CASE o.state WHEN 'open' THEN 'held' WHEN 'sent' THEN 'fired' WHEN 'ready' THEN 'ready'
                    WHEN 'completed' THEN 'served' ELSE 'cancelled' END,
       CASE WHEN o.state IN ('sent', 'ready', 'completed') THEN o.server_staff_id END,
       CASE WHEN o.state IN ('sent', 'ready', 'completed')
            THEN o.opened_at + n.number * interval '90 seconds' END,
       CASE WHEN o.state IN ('ready', 'completed') THEN o.ready_at END,
       CASE WHEN o.state = 'completed' THEN o.handed_off_at END
FROM rest.guest_order AS o
CROSS JOIN (VALUES (1, 'drinks'), (2, 'main')) AS n (number, kind)
WHERE o.business_id = %(business_id)s AND (o.service_mode = 'dine_in' OR n.number = 2);

-- Two to five lines: what the site offers, at the price of the channel.
INSERT INTO rest.check_item
    (business_id, check_item_id, guest_check_id, menu_item_id, check_seat_id, order_course_id,
     line_number, display_name, quantity, unit_price, price_source, state, sent_at, served_at)
SELECT c.business_id, md5('line ' || n.line || c.guest_check_id)::uuid, c.guest_check_id,
       i.menu_item_id, s.check_seat_id, u.order_course_id, n.line, i.display_name,
       CASE WHEN n.place %% 11 = 3 THEN 2 ELSE 1 END, coalesce(p.price, i.base_price),
       CASE WHEN p.price IS NULL THEN 'base' ELSE 'channel' END,
       CASE o.state WHEN 'open' THEN 'new' WHEN 'sent' THEN 'sent' WHEN 'ready' THEN 'ready'
                    WHEN 'completed' THEN 'served' ELSE 'held' END,
       CASE WHEN o.state IN ('sent', 'ready', 'completed')
            THEN o.opened_at + interval '2 minutes' END,
       CASE WHEN o.state = 'completed' THEN o.handed_off_at END
FROM (
    SELECT x.guest_check_id, g.line,
           ('x' || substr(md5(x.guest_check_id || ' ' || g.line), 1, 7))::bit(28)::integer AS place
    FROM rest.guest_check AS x
    CROSS JOIN generate_series(1, 5) AS g (line)
    WHERE x.business_id = %(business_id)s
      AND g.line <= 2 + ('x' || substr(md5(x.guest_check_id::text), 1, 7))::bit(28)::integer %% 4
) AS n
JOIN rest.guest_check AS c
    ON c.business_id = %(business_id)s AND c.guest_check_id = n.guest_check_id
JOIN rest.guest_order AS o
    ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
JOIN (
    SELECT x.location_id, x.menu_item_id,
           row_number() OVER (PARTITION BY x.location_id ORDER BY m.item_code) - 1 AS place,
           count(*) OVER (PARTITION BY x.location_id) AS items
    FROM rest.menu_item_location AS x
    JOIN rest.menu_item AS m
        ON m.business_id = x.business_id AND m.menu_item_id = x.menu_item_id
       AND m.item_kind <> 'combo'
    WHERE x.business_id = %(business_id)s AND x.stock_mode <> 'out_of_stock'
) AS f ON f.location_id = o.location_id AND f.place = n.place %% f.items
JOIN rest.menu_item AS i ON i.business_id = c.business_id AND i.menu_item_id = f.menu_item_id
LEFT JOIN rest.menu_item_price AS p
    ON p.business_id = i.business_id AND p.menu_item_id = i.menu_item_id
   AND p.sales_channel_id = o.sales_channel_id AND p.price_kind = 'channel'
LEFT JOIN rest.check_seat AS s
    ON s.business_id = c.business_id AND s.guest_check_id = c.guest_check_id
   AND s.seat_number = n.line %% (least(o.guest_count, 6) + 1)
LEFT JOIN rest.order_course AS u
    ON u.business_id = o.business_id AND u.guest_order_id = o.guest_order_id
   AND u.course_number = CASE WHEN i.default_course = 'drinks' AND o.service_mode = 'dine_in'
                              THEN 1 ELSE 2 END;

-- Every twelfth order of the cloud kitchen is a meal: the combo at 0, its parts at their share.
INSERT INTO rest.check_item
    (business_id, check_item_id, guest_check_id, menu_item_id, order_course_id, line_number,
     display_name, quantity, unit_price, price_source, state, sent_at, served_at)
SELECT c.business_id, md5('meal ' || c.guest_check_id)::uuid, c.guest_check_id, m.menu_item_id,
       x.order_course_id, 20, i.display_name, 1, 0, 'combo', x.state, x.sent_at, x.served_at
FROM rest.guest_check AS c
JOIN rest.guest_order AS o
    ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
JOIN rest.virtual_brand AS v
    ON v.business_id = o.business_id AND v.virtual_brand_id = o.virtual_brand_id
JOIN rest.menu_item AS i
    ON i.business_id = o.business_id
   AND i.display_name = CASE v.brand_code WHEN 'WINGS' THEN 'Wing night'
                                          WHEN 'BOWLS' THEN 'Bowl meal'
                                          WHEN 'SMASH' THEN 'Burger meal' END
JOIN rest.combo AS m ON m.business_id = i.business_id AND m.menu_item_id = i.menu_item_id
JOIN rest.check_item AS x
    ON x.business_id = c.business_id AND x.guest_check_id = c.guest_check_id AND x.line_number = 1
WHERE c.business_id = %(business_id)s
  AND ('x' || substr(md5(c.guest_check_id::text), 8, 7))::bit(28)::integer %% 4 = 0;

INSERT INTO rest.check_item
    (business_id, check_item_id, guest_check_id, parent_item_id, menu_item_id, order_course_id,
     combo_slot_option_id, line_number, display_name, quantity, unit_price, price_source, state,
     sent_at, served_at)
SELECT p.business_id, md5('part ' || e.combo_slot_option_id || p.check_item_id)::uuid,
       p.guest_check_id, p.check_item_id, e.menu_item_id, p.order_course_id,
       e.combo_slot_option_id,
       20 + row_number() OVER (PARTITION BY p.check_item_id ORDER BY e.combo_slot_option_id),
       i.display_name, 1, e.allocated_price, 'combo', p.state, p.sent_at, p.served_at
FROM rest.check_item AS p
JOIN rest.combo AS m ON m.business_id = p.business_id AND m.menu_item_id = p.menu_item_id
CROSS JOIN LATERAL rest.explode_combo(m.combo_id, ARRAY(
    SELECT o.combo_slot_option_id
    FROM rest.combo_slot AS s
    JOIN rest.combo_slot_option AS o
        ON o.business_id = s.business_id AND o.combo_slot_id = s.combo_slot_id AND o.is_default
    WHERE s.business_id = m.business_id AND s.combo_id = m.combo_id AND NOT s.is_optional)) AS e
JOIN rest.menu_item AS i ON i.business_id = p.business_id AND i.menu_item_id = e.menu_item_id
WHERE p.business_id = %(business_id)s AND p.price_source = 'combo' AND p.parent_item_id IS NULL;

-- What was chosen: one option of each choice that must be made, of others now and then.
INSERT INTO rest.check_item_modifier
    (business_id, check_item_modifier_id, check_item_id, modifier_option_id, display_name,
     pre_modifier, quantity, unit_price, depth, sequence_no)
SELECT i.business_id, md5('chose ' || g.modifier_group_id || i.check_item_id)::uuid,
       i.check_item_id, p.modifier_option_id, p.display_name,
       CASE WHEN g.group_code = 'ALLERGY' THEN 'no' ELSE 'none' END, 1, greatest(p.price, 0), 1,
       g.sort_order
FROM (
    SELECT x.*, ('x' || substr(md5(x.check_item_id::text), 1, 7))::bit(28)::integer AS place
    FROM rest.check_item AS x
    WHERE x.business_id = %(business_id)s AND x.price_source <> 'combo'
) AS i
JOIN rest.menu_item_modifier_group AS o
    ON o.business_id = i.business_id AND o.menu_item_id = i.menu_item_id
JOIN rest.modifier_group AS g
    ON g.business_id = o.business_id AND g.modifier_group_id = o.modifier_group_id
   AND (g.min_select > 0 OR (i.place + g.sort_order) %% 3 = 0)
JOIN LATERAL (
    SELECT x.*, row_number() OVER (ORDER BY x.option_code) - 1 AS place
    FROM rest.modifier_option AS x
    WHERE x.business_id = g.business_id AND x.modifier_group_id = g.modifier_group_id
      AND NOT x.is_out_of_stock
) AS p ON p.place = i.place / 7 %% CASE WHEN g.group_code = 'TOPPING' THEN 3 ELSE 4 END;

INSERT INTO rest.check_item_modifier
    (business_id, check_item_modifier_id, check_item_id, parent_modifier_id, modifier_option_id,
     display_name, pre_modifier, quantity, unit_price, depth, sequence_no)
SELECT m.business_id, md5('nested ' || n.child_group_id || m.check_item_modifier_id)::uuid,
       m.check_item_id, m.check_item_modifier_id, p.modifier_option_id, p.display_name, 'none', 1,
       p.price, 2, 50
FROM rest.check_item_modifier AS m
JOIN rest.modifier_option_group AS n
    ON n.business_id = m.business_id AND n.modifier_option_id = m.modifier_option_id
JOIN LATERAL (
    SELECT x.*
    FROM rest.modifier_option AS x
    WHERE x.business_id = n.business_id AND x.modifier_group_id = n.child_group_id
    ORDER BY md5(m.check_item_modifier_id || x.option_code)
    LIMIT 1
) AS p ON true
WHERE m.business_id = %(business_id)s;

-- 1.8 percent of the lines are voided, seven in ten of them before the kitchen had them; one
-- server voids three times as often as the others.
UPDATE rest.check_item AS i
SET state = 'voided', voided_at = o.opened_at + interval '6 minutes',
    void_reason_id = r.reason_code_id, voided_by_staff_id = m.staff_member_id,
    void_after_send = v.place %% 10 >= 7,
    sent_at = CASE WHEN v.place %% 10 >= 7 THEN i.sent_at END, served_at = NULL
FROM (
    SELECT x.check_item_id,
           ('x' || substr(md5(x.check_item_id || 'void'), 1, 7))::bit(28)::integer AS place
    FROM rest.check_item AS x
    WHERE x.business_id = %(business_id)s AND x.line_number BETWEEN 2 AND 19
) AS v
JOIN rest.check_item AS j
    ON j.business_id = %(business_id)s AND j.check_item_id = v.check_item_id
JOIN rest.guest_check AS c
    ON c.business_id = j.business_id AND c.guest_check_id = j.guest_check_id
JOIN rest.guest_order AS o
    ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
   AND o.state = 'completed'
LEFT JOIN rest.staff_member AS w
    ON w.business_id = o.business_id AND w.staff_member_id = o.server_staff_id
JOIN LATERAL (
    SELECT x.reason_code_id
    FROM rest.reason_code AS x
    WHERE x.business_id = o.business_id AND x.reason_group = 'void'
    ORDER BY md5(v.check_item_id || x.code)
    LIMIT 1
) AS r ON true
CROSS JOIN (
    SELECT x.staff_member_id
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
    ORDER BY x.employee_number
    LIMIT 1
) AS m
WHERE i.business_id = %(business_id)s AND i.check_item_id = v.check_item_id
  AND v.place %% 1000 < CASE WHEN w.employee_number = 'E0003' THEN 60 ELSE 17 END;

-- A trail of every order.
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
    ('open', 'sent', CASE WHEN o.state IN ('sent', 'ready', 'completed')
                          THEN o.opened_at + interval '2 minutes' END),
    ('sent', 'ready', o.ready_at),
    ('ready', 'completed', o.completed_at),
    ('open', 'cancelled', CASE WHEN o.state = 'cancelled'
                               THEN o.opened_at + interval '4 minutes' END),
    ('open', 'voided', CASE WHEN o.state = 'voided' THEN o.opened_at + interval '8 minutes' END))
    AS e (from_state, to_state, occurred_at)
WHERE o.business_id = %(business_id)s AND e.occurred_at IS NOT NULL;
