SET LOCAL enable_nestloop = off;

-- A narrower term stands under the wider one.
UPDATE auto.part_type AS t
SET parent_part_type_id = p.part_type_id
FROM (VALUES (7600, 7556), (15004, 2706), (6832, 6192)) AS v (narrow, wide)
JOIN auto.part_type AS p
    ON p.business_id = %(business_id)s AND p.terminology_code = v.wide
WHERE t.business_id = %(business_id)s AND t.terminology_code = v.narrow;

-- A number that ran out is replaced by the standard one of its application.
UPDATE auto.part AS p
SET superseded_by_part_id = n.part_id
FROM auto.part AS n
WHERE p.business_id = %(business_id)s AND p.life_cycle = 'discontinued'
  AND n.business_id = p.business_id AND n.part_type_id = p.part_type_id
  AND split_part(n.part_number, '/', 1) = split_part(p.part_number, '/', 1)
  AND split_part(n.part_number, '/', 2) = '30';

-- What tells numbers of a type apart.
UPDATE auto.part AS p
SET attributes = CASE t.terminology_code
    WHEN 1684 THEN jsonb_build_object('friction', (ARRAY['ceramic', 'ceramic', 'semi_metallic',
                                                         'organic'])[d.brand])
    WHEN 11387 THEN jsonb_build_object('viscosity', (ARRAY['0W-20', '5W-30', '5W-40'])[d.use])
    ELSE jsonb_build_object('group_size', (ARRAY['35', '48', '94R'])[d.use]) END
FROM auto.part_type AS t
CROSS JOIN LATERAL (
    SELECT x.part_id, split_part(x.part_number, '/', 2)::integer / 10 AS brand,
           1 + (split_part(split_part(x.part_number, '-', 2), '/', 1)::integer - 4100
                - t.terminology_code %% 31) / 37 AS use
    FROM auto.part AS x
    WHERE x.business_id = t.business_id AND x.part_type_id = t.part_type_id
) AS d
WHERE t.business_id = %(business_id)s AND t.terminology_code IN (1684, 11387, 2706)
  AND p.business_id = t.business_id AND p.part_id = d.part_id;

-- Brands of an application replace each other; what ran out names its successor.
INSERT INTO auto.part_interchange
    (business_id, part_interchange_id, from_part_id, to_part_id, relation, quality_tier,
     qty_ratio, is_bidirectional, source, effective_on)
SELECT a.business_id, md5(a.part_id || ' to ' || b.part_id)::uuid, a.part_id, b.part_id,
       CASE WHEN a.superseded_by_part_id = b.part_id THEN 'superseded_by'
            WHEN a.condition = 'oem' THEN 'oe_equivalent' ELSE 'interchange' END,
       CASE split_part(b.part_number, '/', 2) WHEN '10' THEN 'oe' WHEN '20' THEN 'premium'
                                              WHEN '30' THEN 'standard' ELSE 'economy' END,
       1, a.superseded_by_part_id IS NULL,
       CASE WHEN a.superseded_by_part_id = b.part_id THEN 'manufacturer' ELSE 'distributor' END,
       (%(as_of)s::timestamptz)::date - 400 - abs(hashtext(a.part_number)) %% 700
FROM auto.part AS a
JOIN auto.part AS b
    ON b.business_id = a.business_id AND b.part_type_id = a.part_type_id
   AND split_part(b.part_number, '/', 1) = split_part(a.part_number, '/', 1)
   AND (b.part_number > a.part_number AND b.superseded_by_part_id IS NULL
        OR b.part_id = a.superseded_by_part_id)
WHERE a.business_id = %(business_id)s;

-- What fits the builds that come in: of fast movers two brands, of the others one. Oil is poured
-- into any build and has no fitment; only batteries of electric builds have modules.
INSERT INTO auto.part_fitment
    (business_id, part_fitment_id, part_id, part_type_id, vehicle_configuration_id, position,
     qty_per_vehicle, qualifiers, fitment_note, is_excluded, display_seq, source_file_ref,
     confidence, effective_on, disputed_return_count)
SELECT p.business_id, md5(p.part_id || c.vehicle_configuration_id::text || s.place)::uuid,
       p.part_id, t.part_type_id, c.vehicle_configuration_id, s.place,
       CASE t.terminology_code WHEN 7212 THEN greatest(c.cylinder_count, 1)
                               WHEN 7060 THEN greatest(c.cylinder_count, 1)
                               WHEN 1896 THEN 2 WHEN 12180 THEN 4 ELSE 1 END,
       CASE WHEN t.terminology_code = 1684 AND d.dice %% 9 = 0
            THEN jsonb_build_object('drive_kind', c.drive_kind)
            WHEN t.terminology_code = 6956
            THEN jsonb_build_object('refrigerant_code',
                                    CASE WHEN c.model_year >= 2018 THEN 'r1234yf'
                                         ELSE 'r134a' END)
            ELSE '{}' END,
       CASE WHEN t.terminology_code = 1896 AND d.dice %% 11 = 0
            THEN 'Measure the old disc: some builds left the plant with the larger one' END,
       false, d.brand, 'ACES-2026-' || lpad((1 + d.dice %% 4)::text, 2, '0'),
       CASE WHEN d.dice %% 173 = 0 THEN 'disputed' WHEN d.dice %% 17 = 0 THEN 'inferred'
            WHEN d.dice %% 5 = 0 THEN 'verified' ELSE 'catalog' END,
       make_date(c.model_year, 1, 15),
       CASE WHEN d.dice %% 173 = 0 THEN 3 WHEN d.dice %% 29 = 0 THEN 1 ELSE 0 END
FROM (SELECT DISTINCT v.business_id, v.vehicle_configuration_id
      FROM auto.vehicle AS v
      WHERE v.business_id = %(business_id)s) AS road
JOIN auto.vehicle_configuration AS c
    ON c.business_id = road.business_id
   AND c.vehicle_configuration_id = road.vehicle_configuration_id AND c.model_year IS NOT NULL
JOIN auto.part_type AS t
    ON t.business_id = c.business_id AND t.category <> 'fluids'
   AND CASE WHEN t.terminology_code = 15004
            THEN c.fuel_kind IN ('battery_electric', 'plug_in_hybrid', 'hybrid')
            WHEN t.category IN ('ignition') THEN c.fuel_kind NOT IN ('battery_electric', 'diesel')
            WHEN t.category IN ('engine', 'exhaust')
              OR t.terminology_code IN (5340, 6192, 2412, 4152, 2336, 2172)
            THEN c.fuel_kind <> 'battery_electric'
            ELSE true END
JOIN auto.part AS p ON p.business_id = t.business_id AND p.part_type_id = t.part_type_id
CROSS JOIN LATERAL (
    SELECT abs(hashtext(c.base_vehicle_code || ' ' || t.terminology_code)) AS dice,
           split_part(p.part_number, '/', 2)::integer / 10 AS brand
) AS d
-- The first place of a type stands for its side; pads, discs and blades are catalogued for both
-- ends, of another size each.
CROSS JOIN LATERAL unnest(
    CASE WHEN cardinality(t.allowed_positions) = 0 THEN ARRAY['any']
         WHEN t.terminology_code IN (1684, 1896, 8852) THEN t.allowed_positions
         ELSE t.allowed_positions[1:1] END) WITH ORDINALITY AS s (place, side)
WHERE split_part(split_part(p.part_number, '-', 2), '/', 1)::integer
          = 4100 + (d.dice + s.side) %% 3 * 37 + t.terminology_code %% 31
  AND CASE WHEN t.terminology_code IN (1684, 5340, 6192, 6832, 2706) THEN d.brand IN (2, 3)
           WHEN d.dice %% 40 = 7 THEN d.brand = 4
           ELSE d.brand = 1 + d.dice %% 3 END;
