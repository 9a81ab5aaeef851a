-- Which daypart a booking falls in, by the clock on the wall.
UPDATE rest.reservation AS r
SET service_period_id = p.service_period_id
FROM rest.location AS l
JOIN rest.service_period AS p ON p.business_id = l.business_id AND p.location_id = l.location_id
WHERE r.business_id = %(business_id)s
  AND l.business_id = r.business_id AND l.location_id = r.location_id
  AND (r.starts_at AT TIME ZONE l.timezone)::time >= p.starts_time
  AND (r.starts_at AT TIME ZONE l.timezone)::time < p.ends_time;

-- A table for every booking that is not called off: the bookings of an evening, which may end after
-- midnight, take the tables in turn, and one that finds them all held goes without.
INSERT INTO rest.reservation_table
    (business_id, reservation_table_id, reservation_id, dining_table_id, held_from, held_to,
     assignment_kind, assigned_at, released_at)
SELECT r.business_id, md5('hold ' || r.reservation_id)::uuid, r.reservation_id, t.dining_table_id,
       r.starts_at, r.expected_end_at, 'auto', r.confirmed_at,
       CASE WHEN r.state IN ('completed', 'no_show') THEN r.expected_end_at END
FROM (
    SELECT x.*, row_number() OVER (PARTITION BY (x.starts_at - interval '12 hours')::date
                                   ORDER BY x.starts_at, x.confirmation_code) AS place
    FROM rest.reservation AS x
    JOIN rest.location AS l
        ON l.business_id = x.business_id AND l.location_id = x.location_id
       AND l.service_format = 'full_service'
    WHERE x.business_id = %(business_id)s AND x.state NOT IN ('requested', 'cancelled')
) AS r
JOIN (
    SELECT x.dining_table_id, row_number() OVER (ORDER BY x.max_covers DESC, a.area_code,
                                                          x.table_number) AS place
    FROM rest.dining_table AS x
    JOIN rest.dining_area AS a
        ON a.business_id = x.business_id AND a.dining_area_id = x.dining_area_id
    JOIN rest.floor_plan AS f
        ON f.business_id = a.business_id AND f.floor_plan_id = a.floor_plan_id AND f.is_default
    JOIN rest.location AS l
        ON l.business_id = f.business_id AND l.location_id = f.location_id
       AND l.service_format = 'full_service'
    WHERE x.business_id = %(business_id)s AND x.is_bookable
) AS t ON t.place = r.place;

-- Who sat where: bookings that came, then parties from the queue, at the table after theirs.
INSERT INTO rest.table_session
    (business_id, table_session_id, dining_table_id, reservation_id, server_staff_id,
     business_date, party_size, seated_at, greeted_at, first_order_at, mains_served_at,
     check_dropped_at, paid_at, vacated_at, bussed_at, state)
SELECT r.business_id, md5('session ' || r.reservation_id)::uuid, h.dining_table_id,
       r.reservation_id, s.staff_member_id,
       (r.seated_at AT TIME ZONE l.timezone - make_interval(hours => l.closeout_hour))::date,
       r.party_size, r.seated_at, r.seated_at + interval '3 minutes',
       r.seated_at + interval '9 minutes', r.seated_at + interval '32 minutes',
       r.seated_at + interval '71 minutes', r.seated_at + interval '78 minutes',
       r.seated_at + interval '85 minutes', r.seated_at + interval '92 minutes', 'bussed'
FROM rest.reservation AS r
JOIN rest.reservation_table AS h
    ON h.business_id = r.business_id AND h.reservation_id = r.reservation_id
JOIN rest.location AS l ON l.business_id = r.business_id AND l.location_id = r.location_id
JOIN LATERAL (
    SELECT x.staff_member_id
    FROM rest.staff_member AS x
    WHERE x.business_id = r.business_id AND x.status = 'active'
    ORDER BY md5(r.reservation_id::text || x.employee_number)
    LIMIT 1
) AS s ON true
WHERE r.business_id = %(business_id)s AND r.state = 'completed';

-- Twelve parties sit at the restaurant now.
INSERT INTO rest.table_session
    (business_id, table_session_id, dining_table_id, server_staff_id, business_date, party_size,
     seated_at, greeted_at, first_order_at, state)
SELECT t.business_id, md5('session now ' || t.dining_table_id)::uuid, t.dining_table_id,
       s.staff_member_id,
       (%(as_of)s AT TIME ZONE t.timezone - make_interval(hours => t.closeout_hour))::date,
       t.max_covers, %(as_of)s::timestamptz - t.place * interval '6 minutes',
       %(as_of)s::timestamptz - t.place * interval '5 minutes',
       CASE WHEN t.place > 2
            THEN %(as_of)s::timestamptz - t.place * interval '4 minutes' END,
       CASE WHEN t.place > 8 THEN 'dining' WHEN t.place > 2 THEN 'ordered' ELSE 'seated' END
FROM (
    SELECT x.business_id, x.dining_table_id, x.max_covers, l.timezone, l.closeout_hour,
           row_number() OVER (ORDER BY a.area_code DESC, x.table_number) AS place
    FROM rest.dining_table AS x
    JOIN rest.dining_area AS a
        ON a.business_id = x.business_id AND a.dining_area_id = x.dining_area_id
    JOIN rest.floor_plan AS f
        ON f.business_id = a.business_id AND f.floor_plan_id = a.floor_plan_id AND f.is_default
    JOIN rest.location AS l
        ON l.business_id = f.business_id AND l.location_id = f.location_id
       AND l.service_format = 'full_service'
    WHERE x.business_id = %(business_id)s
) AS t
JOIN (
    SELECT x.staff_member_id, row_number() OVER (ORDER BY x.employee_number) AS place
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
) AS s ON s.place = 1 + t.place %% 6
WHERE t.place <= 12;

UPDATE rest.dining_table AS t
SET state = 'occupied', state_changed_at = s.seated_at
FROM rest.table_session AS s
WHERE t.business_id = %(business_id)s
  AND s.business_id = t.business_id AND s.dining_table_id = t.dining_table_id
  AND s.bussed_at IS NULL;

-- Who did not come is remembered for it.
UPDATE rest.guest_profile AS g
SET no_show_count = n.missed
FROM (
    SELECT r.guest_profile_id, count(*)::integer AS missed
    FROM rest.reservation AS r
    WHERE r.business_id = %(business_id)s AND r.state = 'no_show'
    GROUP BY r.guest_profile_id
) AS n
WHERE g.business_id = %(business_id)s AND g.guest_profile_id = n.guest_profile_id;
