-- Nobody is twice in a zone.
DELETE FROM hs.technician_territory AS t
USING hs.technician_territory AS o
WHERE t.business_id = %(business_id)s AND o.business_id = t.business_id
  AND o.technician_id = t.technician_id AND o.service_territory_id = t.service_territory_id
  AND t.membership <> 'primary'
  AND (o.membership = 'primary' OR o.technician_territory_id < t.technician_territory_id);

-- Two weeks back and a fortnight ahead from Monday to Saturday, in the morning of where one works;
-- somebody stands by on Sunday. Shifts exclude one another, so that the fill draws one of each.
UPDATE hs.technician_shift AS s
SET starts_at = (s.shift_on + TIME '07:30') AT TIME ZONE b.time_zone,
    ends_at = (s.shift_on + TIME '17:30') AT TIME ZONE b.time_zone
FROM hs.technician AS t
JOIN hs.branch AS b ON b.business_id = t.business_id AND b.branch_id = t.branch_id
WHERE s.business_id = %(business_id)s
  AND t.business_id = s.business_id AND t.technician_id = s.technician_id;

INSERT INTO hs.technician_shift (
    business_id, technician_shift_id, technician_id, branch_id, shift_on, starts_at, ends_at,
    shift_kind, on_call_rank, break_minutes, start_from, status, created_at)
SELECT t.business_id, md5(t.technician_id || ' ' || d.shift_on)::uuid, t.technician_id,
       t.branch_id, d.shift_on, (d.shift_on + TIME '07:30') AT TIME ZONE b.time_zone,
       (d.shift_on + TIME '17:30') AT TIME ZONE b.time_zone,
       CASE WHEN d.is_sunday THEN 'on_call' ELSE 'regular' END,
       CASE WHEN d.is_sunday THEN 1 + n.no %% 3 END, 60,
       CASE WHEN n.no %% 4 = 0 THEN 'branch' ELSE 'home' END,
       CASE WHEN d.shift_on >= f.today THEN 'published'
            WHEN abs(hashtext(t.employee_number || d.shift_on)) %% 40 = 0 THEN 'no_show'
            ELSE 'worked' END,
       %(as_of)s - interval '20 days'
FROM hs.technician AS t
JOIN hs.branch AS b ON b.business_id = t.business_id AND b.branch_id = t.branch_id
CROSS JOIN LATERAL (SELECT abs(hashtext(t.employee_number)) AS no) AS n
CROSS JOIN (SELECT %(as_of)s::date AS today) AS f
CROSS JOIN generate_series(f.today - 14, f.today + 14, interval '1 day') AS g (at)
CROSS JOIN LATERAL (
    SELECT g.at::date AS shift_on, extract(isodow FROM g.at) = 7 AS is_sunday) AS d
WHERE t.business_id = %(business_id)s AND t.is_dispatchable
  AND (NOT d.is_sunday OR n.no %% 7 = 0)
  AND NOT EXISTS (SELECT FROM hs.technician_shift AS s
                  WHERE s.business_id = t.business_id AND s.technician_id = t.technician_id
                    AND s.shift_on BETWEEN d.shift_on - 1 AND d.shift_on + 1);
