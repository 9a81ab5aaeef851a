-- Who turns wrenches is spread over the shops of the tenant.
UPDATE auto.technician AS t
SET shop_id = s.shop_id
FROM (SELECT technician_id, row_number() OVER (ORDER BY employee_number) - 1 AS n
      FROM auto.technician WHERE business_id = %(business_id)s) AS k
JOIN (SELECT shop_id, row_number() OVER (ORDER BY shop_code) - 1 AS n, count(*) OVER () AS shops
      FROM auto.shop WHERE business_id = %(business_id)s) AS s ON s.n = k.n %% s.shops
WHERE t.business_id = %(business_id)s AND t.technician_id = k.technician_id;

-- Ninety days of shifts behind, two weeks ahead, from eight to five of the shop, Saturdays until
-- one; Sundays and exceptions are off.
INSERT INTO auto.technician_shift (business_id, technician_shift_id, technician_id, shop_id,
                                   shift_on, starts_at, ends_at, shift_kind, break_minutes,
                                   productive_hours, sold_hours, status, attendance_in_at,
                                   attendance_out_at, created_at, updated_at)
SELECT s.business_id, md5('shift' || s.technician_id || s.shift_on)::uuid, s.technician_id,
       s.shop_id, s.shift_on, s.begins, s.finishes, s.kind,
       CASE WHEN s.is_short THEN 0 ELSE 60 END, s.hours,
       CASE WHEN s.state = 'worked' THEN round(s.hours * (70 + s.k * 37 %% 60) / 100.0, 2)
            ELSE 0 END, s.state,
       CASE WHEN s.state = 'worked' THEN s.begins - s.k %% 9 * interval '1 minute' END,
       CASE WHEN s.state = 'worked' THEN s.finishes + s.k %% 21 * interval '1 minute' END,
       s.begins - interval '120 days', s.begins - interval '120 days'
FROM (
    SELECT d.*, d.finishes <= %(as_of)s AS is_past,
           CASE WHEN d.kind IN ('vacation', 'sick', 'training') THEN 0 WHEN d.is_short THEN 5
                ELSE 8 END AS hours,
           CASE WHEN d.finishes > %(as_of)s THEN 'published'
                WHEN d.kind IN ('vacation', 'sick') THEN 'absent' ELSE 'worked' END AS state
    FROM (
        SELECT t.business_id, t.technician_id, t.shop_id, t.k0 + g.day_no + 200 AS k,
               a.today + g.day_no AS shift_on,
               extract(isodow FROM a.today + g.day_no) = 6 AS is_short,
               (a.today + g.day_no + TIME '08:00') AT TIME ZONE t.timezone AS begins,
               (a.today + g.day_no
                + CASE WHEN extract(isodow FROM a.today + g.day_no) = 6 THEN TIME '13:00'
                       ELSE TIME '17:00' END) AT TIME ZONE t.timezone AS finishes,
               CASE WHEN (t.k0 * 11 + g.day_no + 200) %% 31 = 7 THEN 'vacation'
                    WHEN g.day_no < 0 AND (t.k0 * 7 + g.day_no + 200) %% 47 = 11 THEN 'sick'
                    WHEN (t.k0 * 5 + g.day_no + 200) %% 53 = 5 THEN 'training'
                    WHEN extract(isodow FROM a.today + g.day_no) = 6 THEN 'saturday'
                    ELSE 'regular' END AS kind
        FROM (SELECT x.business_id, x.technician_id, x.shop_id, s.timezone, s.weekly_hours,
                     row_number() OVER (ORDER BY x.employee_number)::integer AS k0
              FROM auto.technician AS x
              JOIN auto.shop AS s ON s.business_id = x.business_id AND s.shop_id = x.shop_id
              WHERE x.business_id = %(business_id)s) AS t
        CROSS JOIN generate_series(-90, 14) AS g (day_no)
        CROSS JOIN (SELECT (%(as_of)s::timestamptz AT TIME ZONE 'UTC')::date AS today) AS a
        WHERE extract(isodow FROM a.today + g.day_no) <> 7
          AND NOT jsonb_path_exists(t.weekly_hours, '$.exceptions[*] ? (@.on == $day)',
                                    jsonb_build_object('day', a.today + g.day_no))
    ) AS d
) AS s;
