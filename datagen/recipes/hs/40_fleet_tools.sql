-- One truck for one technician who is sent out; a truck without one stays in the yard.
UPDATE hs.truck_assignment AS a
SET technician_id = coalesce(d.technician_id, a.technician_id),
    ends_at = CASE WHEN d.technician_id IS NULL THEN a.starts_at + interval '60 days' END,
    odometer_end_mi = CASE WHEN d.technician_id IS NULL THEN a.odometer_start_mi + 3000 END
FROM (
    SELECT x.truck_assignment_id, row_number() OVER (ORDER BY t.unit_number) AS place
    FROM hs.truck_assignment AS x
    JOIN hs.truck AS t ON t.business_id = x.business_id AND t.truck_id = x.truck_id
    WHERE x.business_id = %(business_id)s AND x.ends_at IS NULL
) AS n
LEFT JOIN (
    SELECT x.technician_id, row_number() OVER (ORDER BY x.employee_number) AS place
    FROM hs.technician AS x
    WHERE x.business_id = %(business_id)s AND x.is_dispatchable
) AS d USING (place)
WHERE a.business_id = %(business_id)s AND a.truck_assignment_id = n.truck_assignment_id;

-- Before, somebody else drove it.
INSERT INTO hs.truck_assignment
    (business_id, truck_assignment_id, truck_id, technician_id, assignment_kind, starts_at,
     ends_at, odometer_start_mi, odometer_end_mi)
SELECT a.business_id, md5(a.truck_assignment_id || ' before')::uuid, a.truck_id,
       d.technician_id, 'temporary', a.starts_at - interval '60 days',
       a.starts_at - interval '1 day', a.odometer_start_mi - 2500, a.odometer_start_mi - 40
FROM (
    SELECT x.*, row_number() OVER (ORDER BY x.truck_id) AS place
    FROM hs.truck_assignment AS x
    WHERE x.business_id = %(business_id)s
) AS a
JOIN (
    SELECT x.technician_id, row_number() OVER (ORDER BY x.employee_number DESC) AS place,
           count(*) OVER () AS technicians
    FROM hs.technician AS x
    WHERE x.business_id = %(business_id)s
) AS d ON d.place = a.place %% d.technicians + 1
WHERE a.business_id = %(business_id)s;

-- The driver inspects the truck.
UPDATE hs.truck_inspection AS i
SET inspector_technician_id = a.technician_id
FROM hs.truck_assignment AS a
WHERE i.business_id = %(business_id)s
  AND a.business_id = i.business_id AND a.truck_id = i.truck_id
  AND i.inspected_at >= a.starts_at AND (a.ends_at IS NULL OR i.inspected_at < a.ends_at)
  AND i.inspector_technician_id <> a.technician_id;
