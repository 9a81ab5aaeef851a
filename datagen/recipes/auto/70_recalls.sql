SET LOCAL enable_nestloop = off;

-- A campaign covers a range of the serials of the cars: the same in every tenant.
WITH numbered AS (
    SELECT c.recall_campaign_id, row_number() OVER (ORDER BY c.campaign_number) - 1 AS no
    FROM auto.recall_campaign AS c
    WHERE c.business_id = %(business_id)s
), topic (place, component, defect, consequence, remedy, standard) AS (
    VALUES (0, 'Service brakes, hydraulic', 'The brake booster may lose vacuum.',
            'A longer stopping distance raises the risk of a crash.',
            'Dealers replace the brake booster, free of charge.', '135'),
           (1, 'Air bags', 'The inflator may rupture when the air bag deploys.',
            'Metal fragments may injure the occupants.',
            'Dealers replace the inflator, free of charge.', '208'),
           (2, 'Back over prevention', 'The image of the rear camera may be missing.',
            'A driver may not see what is behind the car.',
            'Dealers update the software, free of charge.', '111'),
           (3, 'Fuel system, gasoline', 'The low-pressure fuel pump may fail.',
            'The engine may stall while driving.',
            'Dealers replace the fuel pump, free of charge.', NULL),
           (4, 'Electrical system', 'The control module may overheat.',
            'A fire may start, also while the car is parked.',
            'Dealers replace the module, free of charge.', NULL)
), car AS (
    SELECT v.vin, row_number() OVER (ORDER BY right(v.vin, 6), v.vin) - 1 AS no,
           count(*) OVER () AS size
    FROM auto.vehicle AS v
    WHERE v.business_id = %(business_id)s AND v.vin IS NOT NULL
)
UPDATE auto.recall_campaign AS c
SET component_name = t.component, defect_summary = t.defect, consequence_text = t.consequence,
    remedy_text = t.remedy, fmvss_number = t.standard, oem_campaign_code = 'R' || 1000 + n.no,
    risk_level = CASE WHEN n.no %% 10 = 4 THEN 'park_outside' WHEN n.no %% 10 = 1
                      THEN 'do_not_drive' ELSE 'normal' END,
    labor_allowance_hours = 0.5 + n.no %% 4 * 0.4,
    vin_ranges = jsonb_build_array(jsonb_build_object(
        'from', left(k.vin, 8) || '0' || substr(k.vin, 10, 2) || '000000',
        'to', left(k.vin, 8) || 'X' || substr(k.vin, 10, 2) || '999999'))
FROM numbered AS n
JOIN topic AS t ON t.place = n.no %% 5
JOIN car AS k ON k.no = n.no * 3 %% least(k.size, 20)
WHERE c.business_id = %(business_id)s AND c.recall_campaign_id = n.recall_campaign_id;

-- What was found is what the ranges hold: every pair once, half of them remedied since.
DELETE FROM auto.vehicle_recall AS r
WHERE r.business_id = %(business_id)s;

INSERT INTO auto.vehicle_recall (business_id, vehicle_recall_id, vehicle_id, recall_campaign_id,
                                 status, found_at, lookup_source, next_check_on)
SELECT %(business_id)s, md5(v.vehicle_id || ' recall ' || c.recall_campaign_id)::uuid,
       v.vehicle_id, c.recall_campaign_id, 'open',
       (c.reported_on + 5 + TIME '15:00') AT TIME ZONE 'UTC', 'vin_api',
       %(as_of)s::date + 30
FROM auto.recall_campaign AS c
JOIN LATERAL JSON_TABLE(c.vin_ranges, '$[*]' COLUMNS (
    low text PATH '$.from', high text PATH '$.to')) AS span ON true
JOIN auto.vehicle AS v
    ON v.business_id = c.business_id AND v.vin BETWEEN span.low AND span.high
WHERE c.business_id = %(business_id)s
GROUP BY v.vehicle_id, c.recall_campaign_id, c.reported_on;

CREATE TEMPORARY TABLE found ON COMMIT DROP AS
SELECT r.vehicle_recall_id, r.found_at,
       row_number() OVER (ORDER BY c.campaign_number, v.vin) - 1 AS no
FROM auto.vehicle_recall AS r
JOIN auto.recall_campaign AS c
    ON c.business_id = r.business_id AND c.recall_campaign_id = r.recall_campaign_id
JOIN auto.vehicle AS v ON v.business_id = r.business_id AND v.vehicle_id = r.vehicle_id
WHERE r.business_id = %(business_id)s;

UPDATE auto.vehicle_recall AS r
SET status = 'notified', notified_at = f.found_at + interval '2 days'
FROM found AS f
WHERE r.business_id = %(business_id)s AND r.vehicle_recall_id = f.vehicle_recall_id
  AND f.no %% 10 < 8;

UPDATE auto.vehicle_recall AS r
SET status = CASE WHEN f.no %% 10 < 5 THEN 'remedied' WHEN f.no %% 10 = 5
                  THEN 'referred_to_dealer' ELSE 'declined' END,
    remedied_on = CASE WHEN f.no %% 10 < 5 THEN (f.found_at AT TIME ZONE 'UTC')::date + 21 END,
    remedied_by_text = CASE WHEN f.no %% 10 < 5 THEN 'Franchise dealer' END,
    acknowledgement_text = CASE WHEN f.no %% 10 = 6 THEN 'The owner wants to wait.' END,
    next_check_on = CASE WHEN f.no %% 10 < 5 THEN NULL ELSE r.next_check_on END
FROM found AS f
WHERE r.business_id = %(business_id)s AND r.vehicle_recall_id = f.vehicle_recall_id
  AND f.no %% 10 < 7;

DROP TABLE found;
