SET LOCAL enable_nestloop = off;

-- A tank of each shop holds 250 gallons, at 7.4 lb each.
UPDATE auto.shop_equipment AS e
SET capacity_lb = 1850
WHERE e.business_id = %(business_id)s AND e.equipment_kind = 'oil_tank' AND e.capacity_lb IS NULL;

-- Every air conditioning job that was done is a service; one in seven vehicles leaked.
INSERT INTO auto.refrigerant_service
    (business_id, refrigerant_service_id, machine_equipment_id, repair_job_id, vehicle_id,
     technician_id, serviced_at, refrigerant_code, identifier_result, purity_pct, recovered_lb,
     charged_lb, oil_added_oz, spec_charge_lb, leak_found, leak_method, leak_component,
     vent_temp_c, certificate_number, high_side_psi, low_side_psi, created_at, updated_at)
SELECT j.business_id, md5('service' || j.repair_job_id)::uuid, e.shop_equipment_id,
       j.repair_job_id, j.vehicle_id, t.technician_id, j.serviced_at, j.refrigerant_code,
       CASE WHEN j.is_contaminated THEN 'contaminated' ELSE 'pure' END,
       CASE WHEN j.is_contaminated THEN 91 - j.roll %% 5 ELSE 98.5 + j.roll %% 15 / 10.0 END,
       round(j.spec_lb * CASE WHEN j.is_leaking THEN 0.2 + j.roll %% 25 / 100.0
                              ELSE 0.65 + j.roll %% 30 / 100.0 END, 2),
       CASE WHEN j.is_contaminated THEN 0 ELSE j.spec_lb END,
       CASE WHEN NOT j.is_contaminated THEN 0.5 + j.roll %% 4 * 0.25 END, j.spec_lb, j.is_leaking,
       CASE WHEN j.is_leaking THEN (ARRAY['dye', 'electronic', 'nitrogen'])[1 + j.roll %% 3]
            ELSE 'vacuum_decay' END,
       CASE WHEN j.is_leaking THEN (ARRAY['Condenser', 'Compressor shaft seal', 'Schrader valve',
                                          'Evaporator'])[1 + j.roll %% 4] END,
       CASE WHEN NOT j.is_contaminated THEN 4 + j.roll %% 60 / 10.0 END, t.certificate_number,
       CASE WHEN NOT j.is_contaminated THEN 185 + j.roll %% 60 END,
       CASE WHEN NOT j.is_contaminated THEN 28 + j.roll %% 14 END, j.serviced_at, j.serviced_at
FROM (
    SELECT x.business_id, x.repair_job_id, x.lead_technician_id, o.shop_id, v.vehicle_id,
           b.roll, b.roll %% 41 = 7 AS is_contaminated, b.roll %% 7 = 3 AS is_leaking,
           least(coalesce(o.completed_at, o.opened_at + interval '5 hours'),
                 %(as_of)s::timestamptz) - interval '40 minutes' AS serviced_at,
           CASE v.refrigerant_code WHEN 'r134a' THEN 'r134a' ELSE 'r1234yf' END
               AS refrigerant_code,
           CASE v.refrigerant_code WHEN 'r134a' THEN 1.2 + b.roll %% 9 / 10.0
                ELSE 0.9 + b.roll %% 7 / 10.0 END AS spec_lb,
           x.status, row_number() OVER (PARTITION BY o.shop_id
                                        ORDER BY x.status = 'done' DESC, o.opened_at,
                                                 x.repair_job_id) AS place
    FROM auto.repair_job AS x
    JOIN auto.repair_order AS o
        ON o.business_id = x.business_id AND o.repair_order_id = x.repair_order_id
    JOIN auto.vehicle AS v ON v.business_id = o.business_id AND v.vehicle_id = o.vehicle_id
    CROSS JOIN LATERAL (
        SELECT ('x' || left(md5(x.repair_job_id || 'ac'), 6))::bit(24)::integer AS roll
    ) AS b
    WHERE x.business_id = %(business_id)s AND x.name ~* 'air condition|refrigerant|a/c'
      AND o.status NOT IN ('scheduled', 'cancelled')
) AS j
JOIN auto.shop_equipment AS e
    ON e.business_id = j.business_id AND e.shop_id = j.shop_id
   AND e.equipment_kind = 'refrigerant_machine' AND e.refrigerant_code = j.refrigerant_code
CROSS JOIN LATERAL (
    SELECT c.technician_id, c.certificate_number
    FROM auto.technician_certification AS c
    JOIN auto.technician AS p
        ON p.business_id = c.business_id AND p.technician_id = c.technician_id
    WHERE c.business_id = %(business_id)s AND c.program = 'epa_609' AND c.status = 'valid'
      AND p.role IN ('master', 'technician', 'foreman')
    ORDER BY c.technician_id = j.lead_technician_id DESC, p.shop_id = j.shop_id DESC,
             md5(c.technician_id || left(j.repair_job_id::text, 34))
    LIMIT 1
) AS t
WHERE j.status = 'done' OR j.place = 1;

-- Cylinders, one after the other as services fill and empty them: a shop has at least one of each.
INSERT INTO auto.refrigerant_cylinder
    (business_id, refrigerant_cylinder_id, purchased_by_technician_id, shop_id, supplier_id,
     cylinder_serial, refrigerant_code, cylinder_kind, tare_lb, water_capacity_lb, net_weight_lb,
     purchased_on, purchase_certificate_ref, retest_due_on, status, reclaim_shipped_on,
     reclaimer_epa_certificate, created_at, updated_at)
SELECT s.business_id, md5(s.shop_id || k.kind || k.code || n.no)::uuid,
       CASE k.kind WHEN 'virgin' THEN t.technician_id END, s.shop_id, p.supplier_id,
       s.shop_code || '-' || upper(k.code) || '-' || upper(left(k.kind, 1))
           || lpad(n.no::text, 3, '0'),
       k.code, k.kind, k.tare_lb, k.water_lb, k.full_lb,
       d.bought_on, CASE k.kind WHEN 'virgin' THEN t.certificate_number END,
       CASE k.kind WHEN 'recovery' THEN d.bought_on + 1825 END, 'in_use', NULL, NULL,
       d.bought_on, d.bought_on
FROM auto.shop AS s
CROSS JOIN (VALUES
    ('virgin', 'r134a', 6.5, 40, 30, 27), ('virgin', 'r1234yf', 4.1, 13.5, 10, 8),
    ('recovery', 'r134a', 27, 47.6, 0, 34), ('recovery', 'r1234yf', 18, 26.2, 0, 18),
    ('recovery', 'mixed_contaminated', 27, 47.6, 0, 34))
    AS k (kind, code, tare_lb, water_lb, full_lb, step_lb)
CROSS JOIN LATERAL (
    SELECT coalesce(sum(CASE k.kind WHEN 'virgin' THEN x.charged_lb ELSE x.recovered_lb END), 0)
               AS lb
    FROM auto.refrigerant_service AS x
    JOIN auto.shop_equipment AS e
        ON e.business_id = x.business_id AND e.shop_equipment_id = x.machine_equipment_id
    WHERE x.business_id = %(business_id)s AND e.shop_id = s.shop_id
      AND CASE WHEN k.kind = 'recovery' AND x.identifier_result = 'contaminated'
               THEN 'mixed_contaminated' ELSE x.refrigerant_code END = k.code
) AS m
CROSS JOIN LATERAL generate_series(0, floor(m.lb / k.step_lb)::integer) AS n (no)
CROSS JOIN LATERAL (
    SELECT (%(as_of)s::timestamptz)::date - 400 + (n.no * 400 / (1 + m.lb / k.step_lb))::integer
               AS bought_on
) AS d
CROSS JOIN LATERAL (
    SELECT c.technician_id, c.certificate_number
    FROM auto.technician_certification AS c
    JOIN auto.technician AS x
        ON x.business_id = c.business_id AND x.technician_id = c.technician_id
    WHERE c.business_id = %(business_id)s AND c.program = 'epa_609' AND c.status = 'valid'
    ORDER BY x.role IN ('master', 'foreman') DESC, x.shop_id = s.shop_id DESC, c.technician_id
    LIMIT 1
) AS t
CROSS JOIN LATERAL (
    SELECT x.supplier_id FROM auto.supplier AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.supplier_kind = 'parts_store' DESC, x.supplier_code
    LIMIT 1
) AS p
WHERE s.business_id = %(business_id)s;

UPDATE auto.refrigerant_service AS s
SET charge_cylinder_id = CASE WHEN s.charged_lb > 0 THEN md5(
        g.shop_id || 'virgin' || s.refrigerant_code || g.charge_no)::uuid END,
    recovery_cylinder_id = md5(g.shop_id || 'recovery' || g.recovery_code || g.recovery_no)::uuid
FROM (
    SELECT x.refrigerant_service_id, e.shop_id, c.code AS recovery_code,
           floor((sum(x.charged_lb) OVER (PARTITION BY e.shop_id, x.refrigerant_code
                                          ORDER BY x.serviced_at, x.refrigerant_service_id)
                  - x.charged_lb)
                 / CASE x.refrigerant_code WHEN 'r134a' THEN 27 ELSE 8 END)::integer AS charge_no,
           floor((sum(x.recovered_lb) OVER (PARTITION BY e.shop_id, c.code
                                            ORDER BY x.serviced_at, x.refrigerant_service_id)
                  - x.recovered_lb)
                 / CASE c.code WHEN 'r1234yf' THEN 18 ELSE 34 END)::integer AS recovery_no
    FROM auto.refrigerant_service AS x
    JOIN auto.shop_equipment AS e
        ON e.business_id = x.business_id AND e.shop_equipment_id = x.machine_equipment_id
    CROSS JOIN LATERAL (
        SELECT CASE x.identifier_result WHEN 'contaminated' THEN 'mixed_contaminated'
                    ELSE x.refrigerant_code END AS code
    ) AS c
    WHERE x.business_id = %(business_id)s
) AS g
WHERE s.business_id = %(business_id)s AND s.refrigerant_service_id = g.refrigerant_service_id;

-- What a cylinder holds is what services left in it; one that another followed is empty or shipped.
UPDATE auto.refrigerant_cylinder AS c
SET net_weight_lb = c.net_weight_lb + m.moved_lb,
    purchased_on = least(c.purchased_on, m.first_on - 3)
FROM (
    SELECT w.id, sum(w.lb) AS moved_lb, min(x.serviced_at)::date AS first_on
    FROM auto.refrigerant_service AS x
    CROSS JOIN LATERAL (VALUES (x.recovery_cylinder_id, x.recovered_lb),
                               (x.charge_cylinder_id, -x.charged_lb)) AS w (id, lb)
    WHERE x.business_id = %(business_id)s AND w.id IS NOT NULL
    GROUP BY w.id
) AS m
WHERE c.business_id = %(business_id)s AND c.refrigerant_cylinder_id = m.id;

UPDATE auto.refrigerant_cylinder AS c
SET status = CASE c.cylinder_kind WHEN 'virgin' THEN 'empty' ELSE 'sent_to_reclaim' END,
    reclaim_shipped_on = CASE c.cylinder_kind WHEN 'recovery' THEN n.purchased_on + 7 END,
    reclaimer_epa_certificate = CASE c.cylinder_kind WHEN 'recovery' THEN 'EPA-RCL-0417' END
FROM (
    SELECT x.refrigerant_cylinder_id,
           lead(x.purchased_on) OVER (PARTITION BY x.shop_id, x.cylinder_kind, x.refrigerant_code
                                      ORDER BY x.cylinder_serial) AS purchased_on
    FROM auto.refrigerant_cylinder AS x
    WHERE x.business_id = %(business_id)s
) AS n
WHERE c.business_id = %(business_id)s AND c.refrigerant_cylinder_id = n.refrigerant_cylinder_id
  AND n.purchased_on IS NOT NULL;

-- What the shops generate; the small generator with the body line also has paint and rags.
INSERT INTO auto.waste_stream
    (business_id, waste_stream_id, hauler_supplier_id, shop_id, stream_code, name, waste_kind,
     epa_waste_codes, dot_shipping_name, un_number, is_hazardous, is_universal_waste,
     container_kind, on_site_kg, determination_text, created_at, updated_at)
SELECT s.business_id, md5(s.shop_id || w.code)::uuid, h.supplier_id, s.shop_id, w.code, w.name,
       w.kind, w.codes::text[], w.shipping_name, w.un_number, w.codes <> '{}', w.is_universal,
       w.container, w.kg, w.told, s.opened_on, s.opened_on
FROM auto.shop AS s
CROSS JOIN (VALUES
    ('OIL', 'Used oil', 'used_oil', '{}', 'Used oil, not regulated', NULL, false, 'tank', 420,
     'Burned for energy or re-refined under 40 CFR 279'),
    ('FILTER', 'Hot-drained oil filters', 'oil_filters', '{}', NULL, NULL, false, 'drum_55', 95,
     'Excluded when hot-drained, 40 CFR 261.4(b)(13)'),
    ('COOL', 'Spent antifreeze', 'antifreeze', '{}', NULL, NULL, false, 'drum_55', 140,
     'Tested below the toxicity limit of lead'),
    ('SOLV', 'Parts washer solvent', 'solvent', '{D001,D039}', 'Petroleum distillates, n.o.s.',
     'UN1268', false, 'drum_55', 110, 'Ignitable; tested for tetrachloroethylene'),
    ('BATT', 'Lead-acid batteries', 'lead_acid_battery', '{}', 'Batteries, wet, filled with acid',
     'UN2794', true, 'pallet', 260, 'Universal waste, 40 CFR 273'),
    ('HVBATT', 'High-voltage batteries', 'hv_battery', '{}', 'Lithium ion batteries', 'UN3480',
     true, 'pallet', 180, 'Universal waste, 40 CFR 273'),
    ('TIRE', 'Scrap tires', 'scrap_tires', '{}', NULL, NULL, false, 'rack', 600,
     'Solid waste of the state tire program'),
    ('PAINT', 'Paint and thinner', 'paint', '{D001,F003,F005}', 'Waste paint related material',
     'UN1263', false, 'drum_55', 70, 'Listed spent solvents in gun wash'),
    ('RAGS', 'Contaminated rags', 'contaminated_rags', '{F003,F005}',
     'Waste solids containing flammable liquid, n.o.s.', 'UN3175', false, 'pail', 18,
     'Wiped listed solvents; not laundered'))
    AS w (code, name, kind, codes, shipping_name, un_number, is_universal, container, kg, told)
CROSS JOIN LATERAL (
    SELECT x.supplier_id FROM auto.supplier AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.supplier_kind = 'waste_hauler' DESC, x.supplier_code
    LIMIT 1
) AS h
WHERE s.business_id = %(business_id)s
  AND (w.code NOT IN ('PAINT', 'RAGS') OR s.generator_category <> 'vsqg');

-- Pickups: hazardous waste every 85 days, filters, coolant and tires every 45, batteries every 170.
-- The signed copy comes back within 30 days; one or two of a tenant are late and reported on day 45.
INSERT INTO auto.waste_manifest
    (business_id, waste_manifest_id, transporter_supplier_id, signed_copy_file_id, shop_id,
     manifest_tracking_number, manifest_kind, generator_epa_id, transporter_epa_id,
     facility_epa_id, facility_name, emergency_phone, shipped_on, transporter_signed_at,
     facility_received_on, copy_due_on, exception_report_on, submission_mode, status,
     retain_until_on, created_at, updated_at)
SELECT s.business_id, md5(s.shop_id || k.kind || n.no)::uuid, h.supplier_id,
       CASE WHEN d.status <> 'in_transit' THEN f.file_object_id END, s.shop_id,
       CASE k.kind WHEN 'epa_8700_22' THEN lpad((24000000 + d.serial)::text, 9, '0') || 'JJK'
                   ELSE upper(left(k.kind, 2)) || '-' || s.shop_code || '-'
                        || lpad(n.no::text, 4, '0') END,
       k.kind, s.epa_id_number, 'ILR000138479', 'ILD000805911', 'Lakeside Recovery Services',
       '+18004249300', d.shipped_on, d.shipped_on + time '10:30',
       CASE WHEN d.status <> 'in_transit' THEN d.shipped_on + d.travel_days END,
       d.shipped_on + 30, CASE WHEN d.is_late THEN d.shipped_on + 45 END,
       (ARRAY['hybrid', 'electronic', 'paper'])[1 + d.serial %% 3], d.status,
       (d.shipped_on + interval '3 years 1 day')::date, d.shipped_on, d.shipped_on
FROM auto.shop AS s
CROSS JOIN (VALUES ('epa_8700_22', 85, 4, 0), ('bill_of_lading', 45, 8, 1),
                   ('universal_waste', 170, 2, 2))
    AS k (kind, every_days, pickups, place)
CROSS JOIN LATERAL generate_series(0, k.pickups - 1) AS n (no)
CROSS JOIN LATERAL (
    SELECT (%(as_of)s::timestamptz)::date - 9 - 4 * k.place - n.no * k.every_days AS shipped_on,
           ascii(right(s.shop_code::text, 1)) * 1000 + k.place * 100 + n.no AS serial
) AS c
CROSS JOIN LATERAL (
    SELECT c.shipped_on, c.serial, c.serial %% 19 = 1 AND n.no > 1 AS is_late,
           CASE WHEN c.serial %% 19 = 1 AND n.no > 1 THEN 48
                ELSE 3 + c.serial * 7 %% 26 END AS travel_days,
           CASE WHEN n.no = 0 AND k.kind = 'epa_8700_22' THEN 'in_transit'
                WHEN n.no = 0 THEN 'received' ELSE 'closed' END AS status
) AS t
CROSS JOIN LATERAL (
    SELECT t.shipped_on, t.serial, t.is_late, t.status,
           least(t.travel_days, (%(as_of)s::timestamptz)::date - t.shipped_on) AS travel_days
) AS d
CROSS JOIN LATERAL (
    SELECT x.supplier_id FROM auto.supplier AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.supplier_kind = 'waste_hauler' DESC, x.supplier_code
    LIMIT 1
) AS h
LEFT JOIN LATERAL (
    SELECT x.file_object_id FROM system_core.file_object AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY md5(x.file_object_id || left(s.shop_id::text, 34))
    LIMIT 1
) AS f ON true
WHERE s.business_id = %(business_id)s;

-- A line for each stream of the kind; what arrives is weighed, and rarely far from what was said.
INSERT INTO auto.waste_manifest_line
    (business_id, waste_manifest_line_id, waste_manifest_id, waste_stream_id, line_no,
     dot_description, un_number, hazard_class, packing_group, container_count, container_kind,
     total_qty, unit_code, waste_codes, management_method_code, received_qty, density_kg_per_l,
     created_at, updated_at)
SELECT m.business_id, md5(m.waste_manifest_id || w.stream_code)::uuid, m.waste_manifest_id,
       w.waste_stream_id,
       row_number() OVER (PARTITION BY m.waste_manifest_id ORDER BY w.stream_code),
       coalesce(w.dot_shipping_name, w.name), w.un_number,
       CASE WHEN w.is_hazardous THEN '3' WHEN w.waste_kind = 'lead_acid_battery' THEN '8'
            WHEN w.waste_kind = 'hv_battery' THEN '9' END,
       CASE WHEN w.waste_kind = 'paint' THEN 'ii' WHEN w.is_hazardous THEN 'iii' ELSE 'none' END,
       1 + q.roll %% 3, CASE WHEN w.container_kind = 'drum_55' THEN 'dm' ELSE 'cm' END,
       q.kg, 'k', w.epa_waste_codes,
       CASE WHEN w.is_hazardous THEN 'H061' ELSE 'H141' END,
       CASE WHEN m.facility_received_on IS NOT NULL
            THEN round(q.kg * CASE WHEN q.roll %% 19 = 4 THEN 0.84
                                   ELSE 0.98 + q.roll %% 5 / 100.0 END, 1) END,
       CASE WHEN w.waste_kind IN ('solvent', 'paint') THEN 0.8
            WHEN w.waste_kind = 'antifreeze' THEN 1.1 END, m.created_at, m.created_at
FROM auto.waste_manifest AS m
JOIN auto.waste_stream AS w
    ON w.business_id = m.business_id AND w.shop_id = m.shop_id
   AND CASE m.manifest_kind WHEN 'epa_8700_22' THEN w.is_hazardous
                            WHEN 'universal_waste' THEN w.is_universal_waste
                            ELSE w.waste_kind IN ('oil_filters', 'antifreeze', 'scrap_tires') END
CROSS JOIN LATERAL (
    SELECT ('x' || left(md5(m.waste_manifest_id || w.stream_code), 6))::bit(24)::integer AS roll
) AS r
CROSS JOIN LATERAL (
    SELECT r.roll, round(w.on_site_kg * (0.7 + r.roll %% 50 / 100.0)) AS kg
) AS q
WHERE m.business_id = %(business_id)s;

-- A container that was taken is replaced the next day; the tank has no clock.
UPDATE auto.waste_stream AS w
SET accumulation_started_on = l.shipped_on + 1
FROM (
    SELECT x.waste_stream_id, max(m.shipped_on) AS shipped_on
    FROM auto.waste_manifest_line AS x
    JOIN auto.waste_manifest AS m
        ON m.business_id = x.business_id AND m.waste_manifest_id = x.waste_manifest_id
    WHERE x.business_id = %(business_id)s
    GROUP BY x.waste_stream_id
) AS l
WHERE w.business_id = %(business_id)s AND w.waste_stream_id = l.waste_stream_id;

-- Oil: 1.1 gallons an oil change into the tank of the shop, hauled every 45 days or once 200
-- gallons stand. Before a truck takes it the tank is gauged and tested for halogens.
INSERT INTO auto.used_oil_transaction
    (business_id, used_oil_transaction_id, transporter_supplier_id, tank_equipment_id, shop_id,
     repair_order_id, occurred_at, transaction_kind, volume_gal, tank_level_gal,
     transporter_epa_id, bill_of_lading_ref, halogen_test_ppm, halogen_result,
     payment_received_amount, created_at, updated_at)
WITH drained AS (
    SELECT o.business_id, o.shop_id, o.repair_order_id, o.drained_at, p.period,
           1.1 * count(*) OVER (PARTITION BY o.shop_id, p.period
                                ORDER BY o.drained_at, o.repair_order_id) AS in_period_gal
    FROM (
        SELECT x.business_id, x.shop_id, x.repair_order_id,
               least(coalesce(x.completed_at, x.opened_at + interval '2 hours'),
                     %(as_of)s::timestamptz - interval '3 hours') - interval '30 minutes'
                   AS drained_at,
               j.is_done, row_number() OVER (PARTITION BY x.shop_id ORDER BY j.is_done DESC,
                                             x.opened_at, x.repair_order_id) AS place
        FROM auto.repair_order AS x
        JOIN (
            SELECT y.repair_order_id, bool_or(y.status = 'done') AS is_done
            FROM auto.repair_job AS y
            WHERE y.business_id = %(business_id)s AND y.name ~* '\moil\M.*(service|change)'
            GROUP BY y.repair_order_id
        ) AS j ON j.repair_order_id = x.repair_order_id
        WHERE x.business_id = %(business_id)s AND x.status NOT IN ('scheduled', 'cancelled')
    ) AS o
    CROSS JOIN LATERAL (
        SELECT greatest(0, 1 + floor(extract(epoch FROM %(as_of)s::timestamptz
                                             - interval '105 hours' - o.drained_at)
                                     / (45 * 86400)))::integer AS period
    ) AS p
    WHERE o.is_done OR o.place = 1
), leveled AS (
    SELECT d.*, floor((d.in_period_gal - 1.1) / 200)::integer AS load_no,
           1.1 * row_number() OVER (
               PARTITION BY d.shop_id, d.period, floor((d.in_period_gal - 1.1) / 200)
               ORDER BY d.drained_at, d.repair_order_id) AS level_gal
    FROM drained AS d
), loads AS (
    SELECT l.business_id, l.shop_id, l.period, l.load_no, max(l.level_gal) AS level_gal,
           CASE WHEN l.load_no < max(l.load_no) OVER (PARTITION BY l.shop_id, l.period)
                THEN max(l.drained_at) + interval '10 seconds'
                ELSE %(as_of)s::timestamptz - interval '105 hours'
                     - (l.period - 1) * interval '1080 hours' + interval '10 minutes' END
               AS hauled_at,
           l.load_no < max(l.load_no) OVER (PARTITION BY l.shop_id, l.period)
               OR l.period > 0 AS is_hauled
    FROM leveled AS l
    GROUP BY l.business_id, l.shop_id, l.period, l.load_no
), moves AS (
    SELECT l.business_id, l.shop_id, l.repair_order_id, l.drained_at AS occurred_at,
           'drain_in' AS kind, 1.1 AS volume_gal, l.level_gal
    FROM leveled AS l
    UNION ALL
    SELECT l.business_id, l.shop_id, NULL, l.hauled_at - interval '5 seconds', 'tank_gauge', 0,
           l.level_gal
    FROM loads AS l
    WHERE l.is_hauled
    UNION ALL
    SELECT l.business_id, l.shop_id, NULL, l.hauled_at, 'hauled', l.level_gal, 0
    FROM loads AS l
    WHERE l.is_hauled
)
SELECT m.business_id,
       md5(m.shop_id || m.kind || extract(epoch FROM m.occurred_at)
           || coalesce(m.repair_order_id::text, ''))::uuid,
       CASE m.kind WHEN 'hauled' THEN h.supplier_id END, e.shop_equipment_id, m.shop_id,
       m.repair_order_id, m.occurred_at, m.kind, m.volume_gal, m.level_gal,
       CASE m.kind WHEN 'hauled' THEN 'ILR000138479' END,
       CASE m.kind WHEN 'hauled' THEN 'BOL-' || to_char(m.occurred_at, 'YYMMDD') END,
       t.ppm, CASE WHEN t.ppm > 1000 THEN 'rebutted' ELSE 'below_1000' END,
       CASE m.kind WHEN 'hauled' THEN round(m.volume_gal * 0.35, 2) ELSE 0 END,
       m.occurred_at, m.occurred_at
FROM moves AS m
JOIN auto.shop_equipment AS e
    ON e.business_id = m.business_id AND e.shop_id = m.shop_id AND e.equipment_kind = 'oil_tank'
CROSS JOIN LATERAL (
    SELECT CASE m.kind WHEN 'tank_gauge' THEN CASE WHEN r.roll %% 17 = 5 THEN 1120
                                                   ELSE 180 + r.roll %% 600 END END AS ppm
    FROM (SELECT ('x' || left(md5(m.shop_id || extract(epoch FROM m.occurred_at)::text),
                              6))::bit(24)::integer AS roll) AS r
) AS t
CROSS JOIN LATERAL (
    SELECT x.supplier_id FROM auto.supplier AS x
    WHERE x.business_id = m.business_id
    ORDER BY x.supplier_kind = 'waste_hauler' DESC, x.supplier_code
    LIMIT 1
) AS h
WHERE m.business_id = %(business_id)s;
