-- The history tab of a vehicle: what happened to it, latest first.
-- budget: p95 250ms
-- weight: 5
-- mode: read
-- rows: >=1
-- params: vehicle_id from auto.odometer_reading
SELECT t.business_id, t.happened_at, t.kind, t.title, t.source_id
FROM (
    SELECT o.business_id, o.vehicle_id, o.opened_at AS happened_at, 'visit' AS kind,
           o.ro_number || ': ' || o.status AS title, o.repair_order_id AS source_id
    FROM auto.repair_order AS o
    UNION ALL
    SELECT r.business_id, r.vehicle_id, r.read_at, 'odometer', r.odometer || ' by ' || r.source,
           r.odometer_reading_id
    FROM auto.odometer_reading AS r
    UNION ALL
    SELECT s.business_id, s.vehicle_id, s.started_at, 'scan',
           s.session_kind || coalesce(': ' || d.codes, ''), s.diagnostic_session_id
    FROM auto.diagnostic_session AS s
    LEFT JOIN LATERAL (
        SELECT string_agg(x.dtc_code, ', ' ORDER BY x.dtc_code) AS codes
        FROM auto.detected_dtc AS x
        WHERE x.business_id = %(business_id)s AND x.diagnostic_session_id = s.diagnostic_session_id
    ) AS d ON true
    UNION ALL
    SELECT i.business_id, i.vehicle_id, i.started_at, 'inspection', i.inspection_number,
           i.inspection_id
    FROM auto.inspection AS i
    UNION ALL
    SELECT w.business_id, w.vehicle_id, w.found_at, 'recall', c.component_name || ': ' || w.status,
           w.vehicle_recall_id
    FROM auto.vehicle_recall AS w
    JOIN auto.recall_campaign AS c
        ON c.business_id = %(business_id)s AND c.recall_campaign_id = w.recall_campaign_id
    UNION ALL
    SELECT n.business_id, n.vehicle_id, n.created_at, 'recommendation', n.status,
           n.service_recommendation_id
    FROM auto.service_recommendation AS n
) AS t
WHERE t.business_id = %(business_id)s AND t.vehicle_id = %(vehicle_id)s
ORDER BY t.happened_at DESC NULLS LAST, t.source_id
LIMIT 100
