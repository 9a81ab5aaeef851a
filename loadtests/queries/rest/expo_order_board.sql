-- The expediter's board refreshes: every open course of the kitchen and what it waits for.
-- budget: p95 80ms
-- weight: 12
-- mode: read
-- rows: >=1
-- params: kitchen_id from rest.kitchen_ticket where state IN ('fired', 'in_progress', 'ready')
SELECT b.business_id, b.guest_order_id, b.order_number, b.service_mode, b.pickup_name,
       b.promised_at, b.course_number, b.course_kind, b.course_state, b.age_seconds, b.stations,
       b.stations_done, b.is_complete, b.progress, b.waits_for, b.waits_for_station
FROM (
    SELECT w.business_id, w.kitchen_id, w.guest_order_id, o.order_number, o.service_mode,
           o.pickup_name, o.promised_at, w.order_course_id, u.course_number, u.course_kind,
           u.state AS course_state, w.fired_at, w.due_at,
           greatest(0, extract(epoch FROM now() - w.fired_at))::integer AS age_seconds,
           p.stations, p.stations_done, p.stations = p.stations_done AS is_complete, p.progress,
           i.display_name AS waits_for, i.station_name AS waits_for_station
    FROM (
        SELECT t.business_id, t.kitchen_id, t.guest_order_id, t.order_course_id,
               min(t.fired_at) AS fired_at, max(t.due_at) AS due_at
        FROM rest.kitchen_ticket AS t
        WHERE t.state IN ('queued', 'fired', 'in_progress', 'ready', 'recalled')
        GROUP BY t.business_id, t.kitchen_id, t.guest_order_id, t.order_course_id
    ) AS w
    JOIN rest.guest_order AS o
        ON o.business_id = %(business_id)s AND o.guest_order_id = w.guest_order_id
    LEFT JOIN rest.order_course AS u
        ON u.business_id = %(business_id)s AND u.order_course_id = w.order_course_id
    LEFT JOIN LATERAL (
        SELECT count(*) AS stations,
               count(*) FILTER (WHERE x.state IN ('ready', 'bumped')) AS stations_done,
               jsonb_agg(jsonb_build_object('station', s.display_name, 'state', x.state,
                                            'items', x.item_count)
                         ORDER BY s.sequence_no, x.kitchen_ticket_id) AS progress
        FROM rest.kitchen_ticket AS x
        JOIN rest.prep_station AS s
            ON s.business_id = %(business_id)s AND s.prep_station_id = x.prep_station_id
        WHERE x.business_id = %(business_id)s AND x.guest_order_id = w.guest_order_id
          AND x.order_course_id IS NOT DISTINCT FROM w.order_course_id
          AND x.ticket_kind <> 'expo' AND x.state <> 'cancelled'
    ) AS p ON true
    LEFT JOIN LATERAL (
        -- The item that will be done last by its target.
        SELECT c.display_name, s.display_name AS station_name
        FROM rest.kitchen_ticket AS x
        JOIN rest.kitchen_ticket_item AS y
            ON y.business_id = %(business_id)s AND y.kitchen_ticket_id = x.kitchen_ticket_id
        JOIN rest.check_item AS c
            ON c.business_id = %(business_id)s AND c.check_item_id = y.check_item_id
        JOIN rest.prep_station AS s
            ON s.business_id = %(business_id)s AND s.prep_station_id = x.prep_station_id
        WHERE x.business_id = %(business_id)s AND x.guest_order_id = w.guest_order_id
          AND x.order_course_id IS NOT DISTINCT FROM w.order_course_id
          AND x.state IN ('queued', 'fired', 'in_progress', 'recalled')
          AND y.state IN ('waiting', 'started')
        ORDER BY x.fired_at + make_interval(secs => coalesce(y.target_seconds, 0)) DESC NULLS LAST,
                 y.kitchen_ticket_item_id
        LIMIT 1
    ) AS i ON true
) AS b
WHERE b.business_id = %(business_id)s AND b.kitchen_id = %(kitchen_id)s
ORDER BY b.fired_at, b.order_number, b.course_number
LIMIT 60
