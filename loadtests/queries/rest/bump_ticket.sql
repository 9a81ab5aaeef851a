-- A cook of a line bumps the ticket that waits longest, as soon as another waits behind it.
-- budget: p95 60ms
-- weight: 12
-- mode: write
-- rows: >=0
-- params: prep_station_id from rest.kitchen_ticket where ticket_kind <> 'expo' and state = 'fired'
SELECT q.business_id, q.kitchen_ticket_id, rest.bump_ticket(q.kitchen_ticket_id) AS state
FROM (
    SELECT t.business_id, t.kitchen_ticket_id, count(*) OVER () AS waiting
    FROM rest.kitchen_ticket AS t
    WHERE t.business_id = %(business_id)s AND t.prep_station_id = %(prep_station_id)s
      AND t.ticket_kind <> 'expo' AND t.state IN ('fired', 'in_progress')
    ORDER BY t.fired_at, t.kitchen_ticket_id
    LIMIT 1
) AS q
WHERE q.waiting > 1
