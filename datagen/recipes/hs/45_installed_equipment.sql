-- Part of a system: the second unit of a location belongs to the first.
UPDATE hs.installed_equipment AS e
SET parent_equipment_id = system.installed_equipment_id
FROM (SELECT x.service_location_id, min(x.installed_equipment_id::text)::uuid
                 AS installed_equipment_id
      FROM hs.installed_equipment AS x
      WHERE x.business_id = %(business_id)s
      GROUP BY x.service_location_id
      HAVING count(*) > 1) AS system
WHERE e.business_id = %(business_id)s
  AND e.service_location_id = system.service_location_id
  AND e.installed_equipment_id <> system.installed_equipment_id
  AND abs(hashtext(e.asset_tag)) %% 3 = 0;

-- Every pound: a cylinder of the right kind, emptied step by step into units that run on it.
WITH certified AS (
    SELECT c.technician_id, row_number() OVER (ORDER BY c.technician_id) - 1 AS no,
           count(*) OVER () AS size
    FROM hs.technician_certification AS c
    JOIN hs.certification_type AS k
        ON k.business_id = c.business_id
       AND k.certification_type_id = c.certification_type_id AND k.regime = 'epa_608'
    WHERE c.business_id = %(business_id)s AND c.status IN ('valid', 'expiring')
      AND (c.expires_on IS NULL OR c.expires_on > %(as_of)s::date)
    GROUP BY c.technician_id
), unit AS (
    SELECT e.installed_equipment_id, e.refrigerant_code, e.full_charge_lb, e.installed_on,
           row_number() OVER (PARTITION BY e.refrigerant_code
                              ORDER BY e.full_charge_lb >= 50 DESC, e.asset_tag) - 1 AS no,
           count(*) OVER (PARTITION BY e.refrigerant_code) AS size
    FROM hs.installed_equipment AS e
    WHERE e.business_id = %(business_id)s AND e.status = 'active'
      AND e.refrigerant_code IS NOT NULL AND e.installed_on < %(as_of)s::date - 400
), step AS (
    SELECT c.refrigerant_cylinder_id, c.refrigerant_code, c.cylinder_kind, c.capacity_lb,
           c.net_lb, c.received_on, s.no,
           row_number() OVER (PARTITION BY c.refrigerant_code, c.cylinder_kind = 'recovery'
                              ORDER BY s.no, c.cylinder_number) - 1 AS turn,
           1 + abs(hashtext(c.cylinder_number || s.no)) %% 3 AS pounds
    FROM hs.refrigerant_cylinder AS c
    CROSS JOIN generate_series(1, 12) AS s (no)
    WHERE c.business_id = %(business_id)s
), weighed AS (
    SELECT s.*, sum(s.pounds) OVER (PARTITION BY s.refrigerant_cylinder_id ORDER BY s.no)
                    AS moved
    FROM step AS s
)
INSERT INTO hs.refrigerant_transaction (
    business_id, refrigerant_transaction_id, refrigerant_cylinder_id, technician_id,
    installed_equipment_id, transaction_kind, refrigerant_code, weight_before_lb,
    weight_after_lb, purpose, leak_rate_pct, leak_rate_method, performed_at, created_at)
SELECT %(business_id)s, md5(w.refrigerant_cylinder_id || ' ' || w.no)::uuid,
       w.refrigerant_cylinder_id, t.technician_id, u.installed_equipment_id,
       CASE WHEN w.cylinder_kind = 'recovery' THEN 'recover' ELSE 'charge' END,
       w.refrigerant_code,
       CASE WHEN w.cylinder_kind = 'recovery' THEN w.moved - w.pounds
            ELSE w.net_lb - w.moved + w.pounds END,
       CASE WHEN w.cylinder_kind = 'recovery' THEN w.moved ELSE w.net_lb - w.moved END,
       CASE WHEN w.cylinder_kind = 'recovery' THEN 'retrofit'
            WHEN w.turn %% 3 = 0 THEN 'leak_repair' ELSE 'top_off' END,
       CASE WHEN w.cylinder_kind <> 'recovery' AND u.full_charge_lb >= 50
            THEN round(w.pounds * 3 / u.full_charge_lb * 100, 4) END,
       CASE WHEN w.cylinder_kind <> 'recovery' AND u.full_charge_lb >= 50
            THEN 'annualizing' END,
       at.performed_at, at.performed_at
FROM weighed AS w
JOIN unit AS u ON u.refrigerant_code = w.refrigerant_code AND u.no = w.turn %% u.size
JOIN certified AS t ON t.no = (w.turn + w.no) %% t.size
CROSS JOIN LATERAL (
    SELECT %(as_of)s - (13 - w.no) * interval '26 days'
           + abs(hashtext(w.refrigerant_cylinder_id::text)) %% 20 * interval '1 day'
               AS performed_at) AS at
WHERE w.moved <= CASE WHEN w.cylinder_kind = 'recovery' THEN 0.8 * w.capacity_lb
                      ELSE w.net_lb END;

-- What a full recovery cylinder holds goes to the reclaimer.
INSERT INTO hs.refrigerant_transaction (
    business_id, refrigerant_transaction_id, refrigerant_cylinder_id, technician_id,
    transaction_kind, refrigerant_code, weight_before_lb, weight_after_lb, reclaimer_name,
    reclaimer_epa_id, performed_at, created_at)
SELECT c.business_id, md5(c.refrigerant_cylinder_id || ' reclaim')::uuid,
       c.refrigerant_cylinder_id, last.technician_id, 'reclaim_shipment', c.refrigerant_code,
       c.net_lb, 0, 'Midwest Reclaim', 'ILR000123', %(as_of)s - interval '1 hour',
       %(as_of)s - interval '1 hour'
FROM hs.refrigerant_cylinder AS c
JOIN LATERAL (SELECT t.technician_id
              FROM hs.refrigerant_transaction AS t
              WHERE t.business_id = c.business_id
                AND t.refrigerant_cylinder_id = c.refrigerant_cylinder_id
                AND t.performed_at < %(as_of)s - interval '2 hours'
              ORDER BY t.performed_at DESC LIMIT 1) AS last ON true
WHERE c.business_id = %(business_id)s AND c.cylinder_kind = 'recovery'
  AND c.net_lb > 0.4 * c.capacity_lb
  AND NOT EXISTS (SELECT FROM hs.refrigerant_transaction AS t
                  WHERE t.business_id = c.business_id
                    AND t.refrigerant_cylinder_id = c.refrigerant_cylinder_id
                    AND t.performed_at >= %(as_of)s - interval '2 hours');

UPDATE hs.refrigerant_cylinder AS c
SET status = CASE WHEN c.net_lb = 0 THEN 'empty'
                  WHEN c.custodian_technician_id IS NOT NULL THEN 'on_truck'
                  ELSE 'in_stock' END
WHERE c.business_id = %(business_id)s;
