-- The jobs of a project are at its place, and it is where its first job is.
UPDATE hs.project AS p
SET customer_id = f.customer_id, service_location_id = f.service_location_id
FROM (
    SELECT DISTINCT ON (w.project_id) w.project_id, w.customer_id, w.service_location_id
    FROM hs.work_order AS w
    WHERE w.business_id = %(business_id)s AND w.project_id IS NOT NULL
    ORDER BY w.project_id, w.requested_at
) AS f
WHERE p.business_id = %(business_id)s AND p.project_id = f.project_id;
UPDATE hs.work_order AS w
SET customer_id = p.customer_id, service_location_id = p.service_location_id
FROM hs.project AS p
WHERE w.business_id = %(business_id)s
  AND p.business_id = w.business_id AND p.project_id = w.project_id
  AND w.service_location_id <> p.service_location_id;
UPDATE hs.permit AS t
SET service_location_id = w.service_location_id
FROM hs.work_order AS w
WHERE t.business_id = %(business_id)s
  AND w.business_id = t.business_id AND w.work_order_id = t.work_order_id
  AND t.service_location_id <> w.service_location_id;

-- A hold for a permit names it, where the job has one.
UPDATE hs.work_order_hold AS h
SET permit_id = t.permit_id
FROM hs.permit AS t
WHERE h.business_id = %(business_id)s AND h.hold_kind = 'permit'
  AND t.business_id = h.business_id AND t.work_order_id = h.work_order_id;

-- A callback stays where the fault is, also where its job moved to a project's place.
UPDATE hs.work_order AS w
SET customer_id = o.customer_id, service_location_id = o.service_location_id
FROM hs.work_order AS o
WHERE w.business_id = %(business_id)s AND w.source = 'callback'
  AND o.business_id = w.business_id AND o.work_order_id = w.original_work_order_id
  AND w.service_location_id <> o.service_location_id;

-- What was serviced stands at the place of the job; the first of it is what the call was about.
WITH gone AS (
    DELETE FROM hs.work_order_equipment AS e
    WHERE e.business_id = %(business_id)s
    RETURNING e.*
)
INSERT INTO hs.work_order_equipment
    (business_id, work_order_equipment_id, work_order_id, installed_equipment_id, service_action,
     condition_before, condition_after, failure_code, cause_code, remedy_code, downtime_hours,
     recommendation, is_primary, created_at, updated_at)
SELECT g.business_id, g.work_order_equipment_id, g.work_order_id, i.installed_equipment_id,
       g.service_action, g.condition_before, g.condition_after, g.failure_code, g.cause_code,
       g.remedy_code, g.downtime_hours, g.recommendation, g.is_primary, g.created_at,
       g.updated_at
FROM (
    SELECT x.*, w.service_location_id,
           row_number() OVER (PARTITION BY x.work_order_id
                              ORDER BY x.is_primary DESC, x.work_order_equipment_id) AS place
    FROM gone AS x
    JOIN hs.work_order AS w
        ON w.business_id = x.business_id AND w.work_order_id = x.work_order_id
) AS g
JOIN (
    SELECT y.installed_equipment_id, y.service_location_id,
           row_number() OVER (PARTITION BY y.service_location_id
                              ORDER BY y.installed_equipment_id) AS place
    FROM hs.installed_equipment AS y
    WHERE y.business_id = %(business_id)s
) AS i ON i.service_location_id = g.service_location_id AND i.place = g.place;
