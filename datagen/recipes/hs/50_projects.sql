-- A project has no callbacks while it runs: what is found is put right within it.
UPDATE hs.work_order AS w
SET source = 'call', original_work_order_id = NULL
WHERE w.business_id = %(business_id)s AND w.source = 'callback' AND w.project_id IS NOT NULL;

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
