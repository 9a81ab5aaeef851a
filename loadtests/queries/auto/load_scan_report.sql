-- A scan tool uploads a full-system report of 30 modules and 15 codes.
-- budget: p95 250ms
-- weight: 3
-- mode: write
-- rows: >=1
-- params: vehicle_id from auto.vehicle where status = 'active'
WITH report AS (
    SELECT auto.load_scan_report(%(vehicle_id)s::uuid, 'health_check', jsonb_build_object(
        'started_at', now() - interval '6 minutes', 'ended_at', now(), 'battery_v', 12.6,
        'mil_on', true,
        'modules', (
            SELECT jsonb_agg(jsonb_build_object(
                'address', upper(to_hex(2016 + n.n)),
                'code', CASE n.n WHEN 8 THEN 'ecm' WHEN 9 THEN 'tcm' ELSE 'bcm' END,
                'responded', n.n <> 21, 'response_ms', 10 + n.n))
            FROM generate_series(0, 29) AS n (n)),
        'codes', (
            SELECT jsonb_agg(jsonb_build_object(
                'code', 'P03' || lpad(n.n::text, 2, '0'), 'module', '7E8', 'status', 137,
                'frames', CASE WHEN n.n < 4 THEN jsonb_build_array(jsonb_build_object(
                    'rpm', 1850, 'load', 41, 'coolant', 92, 'speed', 63)) ELSE '[]' END))
            FROM generate_series(0, 14) AS n (n)),
        'monitors', (
            SELECT jsonb_agg(jsonb_build_object('monitor', m.m, 'complete', m.m <> 'evap'))
            FROM unnest('{misfire,fuel_system,components,catalyst,evap,oxygen_sensor}'::text[])
                AS m (m)))) AS diagnostic_session_id
    FROM tenant_mgmt.business AS here
    WHERE here.business_id = %(business_id)s
)
SELECT %(business_id)s::uuid AS business_id, r.diagnostic_session_id
FROM report AS r
