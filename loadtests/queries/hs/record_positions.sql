-- A phone posts its last twenty positions.
-- budget: p95 60ms
-- weight: 6
-- mode: write
-- rows: >=20
-- params: technician_id from hs.technician where is_dispatchable
INSERT INTO hs.technician_position
    (business_id, technician_id, latitude, longitude, accuracy_m, speed_kph, heading_deg, source,
     is_moving, recorded_at)
SELECT %(business_id)s, %(technician_id)s, 41.8 + n.n * 0.0004, -87.7 - n.n * 0.0003, 6, 38, 270,
       'phone', true, now() - n.n * interval '3 seconds'
FROM generate_series(0, 19) AS n (n)
RETURNING business_id, technician_position_id
