-- The history tab of a vehicle: what happened to it, latest first.
-- budget: p95 250ms
-- weight: 5
-- mode: read
-- rows: >=1
-- params: vehicle_id from auto.odometer_reading
SELECT t.business_id, t.happened_at, t.kind, t.title || coalesce(': ' || d.codes, '') AS title,
       t.source_id
FROM (
    -- No kind has more than a page of them: a vehicle that is scanned every day has thousands.
    (SELECT o.business_id, o.opened_at AS happened_at, 'visit' AS kind,
            o.ro_number || ': ' || o.status AS title, o.repair_order_id AS source_id
     FROM auto.repair_order AS o
     WHERE o.business_id = %(business_id)s AND o.vehicle_id = %(vehicle_id)s
     ORDER BY o.opened_at DESC
     LIMIT 100)
    UNION ALL
    (SELECT r.business_id, r.read_at, 'odometer', r.odometer || ' by ' || r.source,
            r.odometer_reading_id
     FROM auto.odometer_reading AS r
     WHERE r.business_id = %(business_id)s AND r.vehicle_id = %(vehicle_id)s
     ORDER BY r.read_at DESC
     LIMIT 100)
    UNION ALL
    (SELECT s.business_id, s.started_at, 'scan', s.session_kind, s.diagnostic_session_id
     FROM auto.diagnostic_session AS s
     WHERE s.business_id = %(business_id)s AND s.vehicle_id = %(vehicle_id)s
     ORDER BY s.started_at DESC
     LIMIT 100)
    UNION ALL
    (SELECT i.business_id, i.started_at, 'inspection', i.inspection_number, i.inspection_id
     FROM auto.inspection AS i
     WHERE i.business_id = %(business_id)s AND i.vehicle_id = %(vehicle_id)s
     ORDER BY i.started_at DESC
     LIMIT 100)
    UNION ALL
    SELECT w.business_id, w.found_at, 'recall', c.component_name || ': ' || w.status,
           w.vehicle_recall_id
    FROM auto.vehicle_recall AS w
    JOIN auto.recall_campaign AS c
        ON c.business_id = %(business_id)s AND c.recall_campaign_id = w.recall_campaign_id
    WHERE w.business_id = %(business_id)s AND w.vehicle_id = %(vehicle_id)s
    UNION ALL
    (SELECT n.business_id, n.created_at, 'recommendation', n.status, n.service_recommendation_id
     FROM auto.service_recommendation AS n
     WHERE n.business_id = %(business_id)s AND n.vehicle_id = %(vehicle_id)s
     ORDER BY n.created_at DESC
     LIMIT 100)
    ORDER BY happened_at DESC NULLS LAST, source_id
    LIMIT 100
) AS t
LEFT JOIN LATERAL (
    SELECT string_agg(x.dtc_code, ', ' ORDER BY x.dtc_code) AS codes
    FROM auto.detected_dtc AS x
    WHERE x.business_id = %(business_id)s AND x.diagnostic_session_id = t.source_id
      AND t.kind = 'scan'
) AS d ON true
ORDER BY t.happened_at DESC NULLS LAST, t.source_id
