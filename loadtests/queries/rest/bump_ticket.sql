-- A cook bumps what waits longest at a station, the pass what is complete: up to four, never the
-- newest.
-- budget: p95 60ms
-- weight: 12
-- mode: write
-- rows: >=0
-- params: prep_station_id from rest.kitchen_ticket where ticket_kind = 'prep' and state IN ('queued', 'fired', 'in_progress') or ticket_kind = 'expo' and state = 'ready'
SELECT q.business_id, q.kitchen_ticket_id, b.state
FROM (
    -- Stations side by side lock orders in the order of their keys.
    SELECT w.business_id, w.kitchen_ticket_id
    FROM (
        SELECT t.business_id, t.kitchen_ticket_id, t.guest_order_id,
               row_number() OVER (ORDER BY t.fired_at, t.kitchen_ticket_id) AS place,
               count(*) OVER () AS waiting
        FROM rest.kitchen_ticket AS t
        WHERE t.business_id = %(business_id)s AND t.prep_station_id = %(prep_station_id)s
          AND t.state IN ('fired', 'in_progress', 'ready')
          AND (t.ticket_kind = 'expo') = (t.state = 'ready')
    ) AS w
    WHERE w.place <= 4 AND w.place < w.waiting
    ORDER BY w.guest_order_id, w.kitchen_ticket_id
) AS q
CROSS JOIN LATERAL rest.bump_ticket(q.kitchen_ticket_id) AS b (state)
