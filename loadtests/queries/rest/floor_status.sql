-- The host stand refreshes the floor map: every table, who sits there, what they owe, who is next.
-- budget: p95 60ms
-- weight: 10
-- mode: read
-- rows: >=1
-- params: location_id from rest.location
SELECT f.business_id, f.area_name, f.table_number, f.state, f.max_covers, f.pos_x, f.pos_y,
       f.party_size, f.minutes_seated, f.balance_due, f.next_reservation_at
FROM (
    SELECT t.business_id, f.location_id, a.display_name AS area_name, t.dining_table_id,
           t.table_number, t.state, t.max_covers, t.pos_x, t.pos_y, s.table_session_id, s.party_size,
           floor(extract(epoch FROM now() - s.seated_at) / 60)::integer AS minutes_seated,
           k.balance_due, h.held_from AS next_reservation_at
    FROM rest.floor_plan AS f
    JOIN rest.dining_area AS a
        ON a.business_id = %(business_id)s AND a.floor_plan_id = f.floor_plan_id
    JOIN rest.dining_table AS t
        ON t.business_id = %(business_id)s AND t.dining_area_id = a.dining_area_id
    LEFT JOIN rest.table_session AS s
        ON s.business_id = %(business_id)s AND s.dining_table_id = t.dining_table_id
       AND s.bussed_at IS NULL
    LEFT JOIN LATERAL (
        SELECT sum(c.balance_due) AS balance_due
        FROM rest.guest_order AS o
        JOIN rest.guest_check AS c
            ON c.business_id = %(business_id)s AND c.guest_order_id = o.guest_order_id
        WHERE o.business_id = %(business_id)s AND o.table_session_id = s.table_session_id
          AND c.state <> 'voided'
    ) AS k ON true
    LEFT JOIN LATERAL (
        SELECT x.held_from
        FROM rest.reservation_table AS x
        WHERE x.business_id = %(business_id)s AND x.dining_table_id = t.dining_table_id
          AND x.held_from >= now() AND x.released_at IS NULL
        ORDER BY x.held_from
        LIMIT 1
    ) AS h ON true
    WHERE f.is_default
) AS f
WHERE f.business_id = %(business_id)s AND f.location_id = %(location_id)s
ORDER BY f.area_name, f.table_number
