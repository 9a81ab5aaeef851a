-- The host stand refreshes the floor map: every table, who sits there, what they owe, who is next.
-- budget: p95 60ms
-- weight: 10
-- mode: read
-- rows: >=1
-- params: location_id from rest.location
SELECT f.business_id, f.area_name, f.table_number, f.state, f.max_covers, f.pos_x, f.pos_y,
       f.party_size, f.minutes_seated, f.balance_due, f.next_reservation_at
FROM rest.v_floor_live AS f
WHERE f.business_id = %(business_id)s AND f.location_id = %(location_id)s
ORDER BY f.area_name, f.table_number
