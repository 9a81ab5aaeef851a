-- A guest looks for a table for a party on the booking page: one answer for each quarter hour.
-- budget: p95 120ms
-- weight: 6
-- mode: read
-- rows: >=1
-- params: location_id from rest.location where seat_count > 0
-- values: party = choice(2, 2, 3, 4)
WITH slot AS (
    SELECT l.business_id, l.location_id,
           (current_date + 2 + time '18:00' + n * interval '15 minutes') AT TIME ZONE l.timezone
               AS begins_at
    FROM rest.location AS l
    CROSS JOIN generate_series(0, 7) AS n
    WHERE l.business_id = %(business_id)s AND l.location_id = %(location_id)s
)
SELECT s.business_id, s.begins_at, count(t.held_from) AS choices, min(t.waste_covers) AS best
FROM slot AS s
LEFT JOIN LATERAL rest.find_available_tables(
    s.location_id, s.begins_at, %(party)s::integer) AS t ON true
GROUP BY s.business_id, s.begins_at
ORDER BY s.begins_at
