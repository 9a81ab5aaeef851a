-- A cook's screen refreshes: the open tickets of the station in the order of firing.
-- budget: p95 40ms
-- weight: 30
-- mode: read
-- rows: >=1
-- params: prep_station_id from rest.kitchen_ticket where state IN ('fired', 'in_progress')
SELECT q.business_id, q.kitchen_ticket_id, q.ticket_number, q.ticket_kind, q.state, q.priority,
       q.fired_at, q.due_at, q.recall_count, q.order_number, q.service_mode, q.brand_name,
       q.age_seconds, q.color, q.open_items, q.has_allergy, q.items
FROM (
    SELECT t.business_id, t.prep_station_id, s.display_name AS station_name, t.kitchen_ticket_id,
           t.ticket_number, t.ticket_kind, t.state, t.priority, t.queued_at, t.fired_at, t.due_at,
           t.recall_count, o.order_number, o.service_mode, o.pickup_name,
           b.display_name AS brand_name, a.seconds AS age_seconds,
           CASE WHEN a.seconds >= s.late_after_seconds THEN 'late'
                WHEN a.seconds >= s.warn_after_seconds THEN 'warn'
                ELSE 'on_time' END AS color,
           n.open_items, n.has_allergy, n.items
    FROM rest.kitchen_ticket AS t
    JOIN rest.prep_station AS s
        ON s.business_id = %(business_id)s AND s.prep_station_id = t.prep_station_id
    JOIN rest.guest_order AS o
        ON o.business_id = %(business_id)s AND o.guest_order_id = t.guest_order_id
    LEFT JOIN rest.virtual_brand AS b
        ON b.business_id = %(business_id)s AND b.virtual_brand_id = t.virtual_brand_id
    CROSS JOIN LATERAL (
        SELECT greatest(0, extract(epoch FROM now() - t.fired_at))::integer AS seconds
    ) AS a
    LEFT JOIN LATERAL (
        SELECT count(*) FILTER (WHERE x.state IN ('waiting', 'started')) AS open_items,
               coalesce(bool_or(x.has_allergy_flag), false) AS has_allergy,
               jsonb_agg(jsonb_build_object(
                   'id', x.kitchen_ticket_item_id, 'name', i.display_name, 'quantity', x.quantity,
                   'state', x.state, 'hold', x.hold_seconds, 'allergy', x.has_allergy_flag,
                   'request', i.special_request,
                   'choices', (SELECT jsonb_agg(jsonb_build_object('name', m.display_name,
                                                                   'how', m.pre_modifier,
                                                                   'depth', m.depth)
                                                ORDER BY m.sequence_no, m.check_item_modifier_id)
                               FROM rest.check_item_modifier AS m
                               WHERE m.business_id = %(business_id)s
                                 AND m.check_item_id = x.check_item_id))
                   ORDER BY i.line_number, x.kitchen_ticket_item_id) AS items
        FROM rest.kitchen_ticket_item AS x
        JOIN rest.check_item AS i
            ON i.business_id = %(business_id)s AND i.check_item_id = x.check_item_id
        WHERE x.business_id = %(business_id)s AND x.kitchen_ticket_id = t.kitchen_ticket_id
          AND x.state <> 'voided'
    ) AS n ON true
    WHERE t.state IN ('queued', 'fired', 'in_progress', 'recalled')
) AS q
WHERE q.business_id = %(business_id)s AND q.prep_station_id = %(prep_station_id)s
ORDER BY q.fired_at, q.kitchen_ticket_id
LIMIT 30
