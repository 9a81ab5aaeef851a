SET LOCAL enable_nestloop = off;

-- Book hours by operation, and on which builds it is done.
CREATE TEMP TABLE guide (
    operation_code   text PRIMARY KEY,
    terminology_code integer,
    base_hours       numeric,
    applies          text
) ON COMMIT DROP;
INSERT INTO guide VALUES
    ('BRK-010', 1684, 1.2, 'all'),
    ('BRK-011', 1684, 1.3, 'all'),
    ('BRK-020', 1896, 1.5, 'all'),
    ('BRK-021', 1896, 1.7, 'all'),
    ('BRK-030', 1688, 1.4, 'all'),
    ('BRK-040', 1836, 1.9, 'all'),
    ('BRK-050', 11395, 0.9, 'all'),
    ('LUB-010', 5340, 0.4, 'ice'),
    ('LUB-011', NULL, 0.1, 'all'),
    ('FLT-010', 6192, 0.2, 'ice'),
    ('FLT-020', 6832, 0.3, 'all'),
    ('IGN-010', 7212, 1.4, 'gas'),
    ('IGN-020', 7060, 0.6, 'gas'),
    ('ELE-010', 2706, 0.5, 'all'),
    ('ELE-020', 2412, 1.8, 'ice'),
    ('ELE-030', 4152, 1.7, 'ice'),
    ('ELE-090', NULL, 1.5, 'all'),
    ('COL-010', 2336, 3.4, 'ice'),
    ('COL-020', 2172, 1.3, 'ice'),
    ('COL-030', 2184, 2.8, 'all'),
    ('COL-040', 11393, 1.1, 'all'),
    ('ENG-010', 2100, 0.7, 'ice'),
    ('ENG-020', 5776, 5.2, 'ice'),
    ('ENG-030', 5080, 2.4, 'ice'),
    ('ENG-090', NULL, 1.0, 'ice'),
    ('EXH-010', 5808, 2.1, 'ice'),
    ('EXH-020', 5132, 0.7, 'ice'),
    ('STR-010', 10030, 0.9, 'all'),
    ('SUS-010', 7556, 1.2, 'all'),
    ('SUS-020', 7600, 2.6, 'all'),
    ('SUS-030', 7568, 1.8, 'all'),
    ('ALN-010', NULL, 1.2, 'all'),
    ('DRV-010', 1636, 1.9, 'all'),
    ('DRV-020', 7316, 1.6, 'all'),
    ('TRN-010', 11391, 1.3, 'ice'),
    ('HVA-010', 6956, 3.1, 'all'),
    ('HVA-020', 11396, 1.2, 'all'),
    ('BDY-010', 8852, 0.2, 'all'),
    ('GLS-010', 9016, 2.6, 'all'),
    ('TIR-010', NULL, 0.4, 'all'),
    ('TIR-020', NULL, 1.2, 'all'),
    ('TIR-030', 12180, 0.5, 'all'),
    ('INS-010', NULL, 0.4, 'all'),
    ('ADS-010', NULL, 1.4, 'all'),
    ('ADS-020', 13020, 1.6, 'all'),
    ('EV-010', NULL, 1.5, 'hv'),
    ('EV-020', 15004, 6.5, 'hv'),
    ('OLD-010', NULL, 1.0, 'none');

UPDATE auto.labor_operation AS o
SET part_type_id = t.part_type_id
FROM guide AS g
JOIN auto.part_type AS t
    ON t.business_id = %(business_id)s AND t.terminology_code = g.terminology_code
WHERE o.business_id = %(business_id)s AND o.operation_code = g.operation_code;

-- More cylinders, all driven wheels and heavier frames take longer. The maker pays for less than
-- the book says; the shop knows from its own clock what its people take.
INSERT INTO auto.labor_time
    (business_id, labor_time_id, labor_operation_id, vehicle_configuration_id, time_source,
     book_hours, warranty_hours, severe_service_hours, additional_item_hours, revision_on,
     actual_median_hours, sample_count)
SELECT o.business_id,
       md5(o.labor_operation_id || c.vehicle_configuration_id::text || s.source)::uuid,
       o.labor_operation_id, c.vehicle_configuration_id, s.source, h.book,
       CASE WHEN s.source = 'oem_warranty' THEN round(h.book * 0.72, 2) END,
       CASE WHEN o.skill_level <> 'lube' THEN round(h.book * 1.3, 2) END,
       CASE WHEN o.action = 'remove_replace' AND h.book >= 1 THEN round(h.book * 0.4, 2) END,
       (%(as_of)s::timestamptz)::date - 40 - d.dice %% 600,
       CASE WHEN d.dice %% 4 = 0 THEN round(h.book * (0.8 + d.dice %% 40 / 100.0), 2) END,
       CASE WHEN d.dice %% 4 = 0 THEN 3 + d.dice %% 40 ELSE 0 END
FROM guide AS g
JOIN auto.labor_operation AS o
    ON o.business_id = %(business_id)s AND o.operation_code = g.operation_code AND o.is_active
JOIN (SELECT DISTINCT v.business_id, v.vehicle_configuration_id
      FROM auto.vehicle AS v
      WHERE v.business_id = %(business_id)s) AS road ON road.business_id = o.business_id
JOIN auto.vehicle_configuration AS c
    ON c.business_id = road.business_id
   AND c.vehicle_configuration_id = road.vehicle_configuration_id
   AND CASE g.applies WHEN 'ice' THEN c.fuel_kind <> 'battery_electric'
                      WHEN 'gas' THEN c.fuel_kind NOT IN ('battery_electric', 'diesel')
                      WHEN 'hv' THEN c.fuel_kind IN ('battery_electric', 'hybrid',
                                                     'plug_in_hybrid')
                      ELSE true END
CROSS JOIN LATERAL (
    SELECT abs(hashtext(c.base_vehicle_code || o.operation_code)) AS dice
) AS d
CROSS JOIN LATERAL (
    SELECT greatest(0.1, round(g.base_hours
               * CASE WHEN g.applies = 'gas' THEN coalesce(c.cylinder_count, 4) / 4.0
                      ELSE 1 + (coalesce(c.cylinder_count, 4) - 4) * 0.04 END
               * CASE WHEN c.drive_kind IN ('awd', 'four_wd') THEN 1.08 ELSE 1 END
               * CASE WHEN c.gvwr_class IN ('class_1', 'class_2a') THEN 1 ELSE 1.15 END
               * (0.92 + d.dice %% 17 / 100.0), 1)) AS book
) AS h
-- One guide; the maker's own times for cars that are young enough for a warranty.
CROSS JOIN LATERAL (
    SELECT 'guide_a' AS source
    UNION ALL
    SELECT 'oem_warranty' WHERE c.model_year >= 2024 AND o.skill_level <> 'lube'
) AS s;

-- Work on the same corner or behind the same cover is not paid twice.
INSERT INTO auto.labor_overlap
    (business_id, labor_overlap_id, primary_labor_operation_id, overlapping_labor_operation_id,
     overlap_kind, deduct_hours, max_deduct_pct, source, effective_on, note_text)
SELECT a.business_id, md5(a.labor_operation_id || b.labor_operation_id::text)::uuid,
       a.labor_operation_id, b.labor_operation_id, v.kind, v.hours,
       CASE WHEN v.kind = 'deduct' THEN 90 END, 'guide', (%(as_of)s::timestamptz)::date - 500,
       v.note
FROM (
    VALUES ('BRK-020', 'BRK-010', 'deduct', 1.0, 'Wheels and calipers are off'),
           ('BRK-021', 'BRK-011', 'deduct', 1.1, 'Wheels and calipers are off'),
           ('BRK-010', 'BRK-030', 'deduct', 0.6, 'Same corner'),
           ('BRK-040', 'BRK-050', 'included', NULL, 'Bleeding belongs to the cylinder'),
           ('BRK-030', 'BRK-050', 'deduct', 0.4, 'One wheel is bled already'),
           ('ENG-020', 'COL-010', 'deduct', 2.6, 'The pump is behind the belt'),
           ('ENG-020', 'ENG-010', 'included', NULL, 'The outer belt comes off first'),
           ('ELE-020', 'ENG-010', 'included', NULL, 'The belt comes off'),
           ('COL-010', 'COL-040', 'deduct', 0.8, 'Coolant is drained'),
           ('COL-030', 'COL-020', 'deduct', 0.6, 'Coolant is drained'),
           ('COL-030', 'COL-040', 'included', NULL, 'Coolant is drained and filled'),
           ('HVA-010', 'HVA-020', 'included', NULL, 'The system is charged at the end'),
           ('SUS-020', 'STR-010', 'deduct', 0.4, 'Wheel is off'),
           ('SUS-030', 'STR-010', 'deduct', 0.3, 'Wheel is off'),
           ('DRV-010', 'DRV-020', 'deduct', 0.9, 'Hub is off the shaft'),
           ('TIR-020', 'TIR-010', 'included', NULL, 'Wheels are off'),
           ('TIR-020', 'TIR-030', 'deduct', 0.3, 'Tire is off the rim'),
           ('IGN-010', 'IGN-020', 'included', NULL, 'Coils come off'),
           ('ADS-020', 'ADS-010', 'alternative', NULL, 'Aim after the part is in'),
           ('EV-020', 'EV-010', 'included', NULL, 'Tested before and after'),
           ('EV-020', 'ELE-010', 'conflict', NULL, 'The low-voltage battery stays off')
) AS v (first_code, second_code, kind, hours, note)
JOIN auto.labor_operation AS a
    ON a.business_id = %(business_id)s AND a.operation_code = v.first_code
JOIN auto.labor_operation AS b
    ON b.business_id = %(business_id)s AND b.operation_code = v.second_code;

-- What a package consists of.
INSERT INTO auto.canned_job_line
    (business_id, canned_job_line_id, canned_job_id, labor_operation_id, part_type_id, line_seq,
     line_kind, default_qty, qty_rule, default_hours, unit_price, is_optional, note_text)
SELECT j.business_id, md5(j.canned_job_id || ' ' || v.seq)::uuid, j.canned_job_id,
       o.labor_operation_id, t.part_type_id, v.seq, v.kind, v.qty, v.rule, g.base_hours, v.price,
       v.optional, v.note
FROM (
    VALUES
        ('LOF-SYN', 1, 'labor', 'LUB-010', NULL, 1, 'fixed', NULL, false, NULL),
        ('LOF-SYN', 2, 'part_type', NULL, 5340, 1, 'fixed', NULL, false, NULL),
        ('LOF-SYN', 3, 'part_type', NULL, 11387, 5, 'oil_capacity', NULL, false, NULL),
        ('LOF-SYN', 4, 'labor', 'LUB-011', NULL, 1, 'fixed', NULL, false, NULL),
        ('LOF-SYN', 5, 'fee', NULL, NULL, 1, 'fixed', 3.50, false, 'Oil disposal'),
        ('LOF-BLEND', 1, 'labor', 'LUB-010', NULL, 1, 'fixed', NULL, false, NULL),
        ('LOF-BLEND', 2, 'part_type', NULL, 5340, 1, 'fixed', NULL, false, NULL),
        ('LOF-BLEND', 3, 'part_type', NULL, 11387, 5, 'oil_capacity', NULL, false, NULL),
        ('LOF-BLEND', 4, 'fee', NULL, NULL, 1, 'fixed', 3.50, false, 'Oil disposal'),
        ('BRK-F', 1, 'labor', 'BRK-010', NULL, 1, 'fixed', NULL, false, NULL),
        ('BRK-F', 2, 'labor', 'BRK-020', NULL, 1, 'fixed', NULL, false, NULL),
        ('BRK-F', 3, 'part_type', NULL, 1684, 1, 'per_axle', NULL, false, NULL),
        ('BRK-F', 4, 'part_type', NULL, 1896, 2, 'per_axle', NULL, false, NULL),
        ('BRK-R', 1, 'labor', 'BRK-011', NULL, 1, 'fixed', NULL, false, NULL),
        ('BRK-R', 2, 'labor', 'BRK-021', NULL, 1, 'fixed', NULL, false, NULL),
        ('BRK-R', 3, 'part_type', NULL, 1684, 1, 'per_axle', NULL, false, NULL),
        ('BRK-R', 4, 'part_type', NULL, 1896, 2, 'per_axle', NULL, false, NULL),
        ('BRK-FL', 1, 'labor', 'BRK-050', NULL, 1, 'fixed', NULL, false, NULL),
        ('BRK-FL', 2, 'part_type', NULL, 11395, 1, 'fixed', NULL, false, NULL),
        ('TUNE', 1, 'labor', 'IGN-010', NULL, 1, 'fixed', NULL, false, NULL),
        ('TUNE', 2, 'part_type', NULL, 7212, 1, 'per_cylinder', NULL, false, NULL),
        ('TBELT', 1, 'labor', 'ENG-020', NULL, 1, 'fixed', NULL, false, NULL),
        ('TBELT', 2, 'labor', 'COL-010', NULL, 1, 'fixed', NULL, false, NULL),
        ('TBELT', 3, 'part_type', NULL, 5776, 1, 'fixed', NULL, false, NULL),
        ('TBELT', 4, 'part_type', NULL, 2336, 1, 'fixed', NULL, false, NULL),
        ('TBELT', 5, 'part_type', NULL, 11393, 6, 'coolant_capacity', NULL, false, NULL),
        ('COOL', 1, 'labor', 'COL-040', NULL, 1, 'fixed', NULL, false, NULL),
        ('COOL', 2, 'part_type', NULL, 11393, 6, 'coolant_capacity', NULL, false, NULL),
        ('COOL', 3, 'fee', NULL, NULL, 1, 'fixed', 6, false, 'Coolant disposal'),
        ('TRANS', 1, 'labor', 'TRN-010', NULL, 1, 'fixed', NULL, false, NULL),
        ('TRANS', 2, 'part_type', NULL, 11391, 6, 'fixed', NULL, false, NULL),
        ('FILT', 1, 'labor', 'FLT-010', NULL, 1, 'fixed', NULL, false, NULL),
        ('FILT', 2, 'labor', 'FLT-020', NULL, 1, 'fixed', NULL, false, NULL),
        ('FILT', 3, 'part_type', NULL, 6192, 1, 'fixed', NULL, false, NULL),
        ('FILT', 4, 'part_type', NULL, 6832, 1, 'fixed', NULL, false, NULL),
        ('BATT', 1, 'labor', 'ELE-010', NULL, 1, 'fixed', NULL, false, NULL),
        ('BATT', 2, 'part_type', NULL, 2706, 1, 'fixed', NULL, false, NULL),
        ('BATT', 3, 'fee', NULL, NULL, 1, 'fixed', 3, false, 'Battery fee'),
        ('CHRG', 1, 'labor', 'ELE-020', NULL, 1, 'fixed', NULL, false, NULL),
        ('CHRG', 2, 'labor', 'ENG-010', NULL, 1, 'fixed', NULL, false, NULL),
        ('CHRG', 3, 'part_type', NULL, 2412, 1, 'fixed', NULL, false, NULL),
        ('CHRG', 4, 'part_type', NULL, 2100, 1, 'fixed', NULL, false, NULL),
        ('ROT', 1, 'labor', 'TIR-010', NULL, 1, 'fixed', NULL, false, NULL),
        ('MNT4', 1, 'labor', 'TIR-020', NULL, 1, 'fixed', NULL, false, NULL),
        ('MNT4', 2, 'fee', NULL, NULL, 1, 'fixed', 12, false, 'Tire disposal'),
        ('WINTER', 1, 'labor', 'TIR-010', NULL, 1, 'fixed', NULL, false, NULL),
        ('WINTER', 2, 'labor', 'TIR-030', NULL, 1, 'fixed', NULL, true, NULL),
        ('ALIGN', 1, 'labor', 'ALN-010', NULL, 1, 'fixed', NULL, false, NULL),
        ('STRUT', 1, 'labor', 'SUS-020', NULL, 1, 'fixed', NULL, false, NULL),
        ('STRUT', 2, 'labor', 'ALN-010', NULL, 1, 'fixed', NULL, false, NULL),
        ('STRUT', 3, 'part_type', NULL, 7600, 2, 'per_axle', NULL, false, NULL),
        ('AC-SVC', 1, 'labor', 'HVA-020', NULL, 1, 'fixed', NULL, false, NULL),
        ('AC-SVC', 2, 'part_type', NULL, 11396, 1.5, 'fixed', NULL, false, NULL),
        ('AC-COMP', 1, 'labor', 'HVA-010', NULL, 1, 'fixed', NULL, false, NULL),
        ('AC-COMP', 2, 'labor', 'HVA-020', NULL, 1, 'fixed', NULL, false, NULL),
        ('AC-COMP', 3, 'part_type', NULL, 6956, 1, 'fixed', NULL, false, NULL),
        ('AC-COMP', 4, 'part_type', NULL, 11396, 1.5, 'fixed', NULL, false, NULL),
        ('DIAG-1', 1, 'labor', 'ENG-090', NULL, 1, 'fixed', NULL, false, NULL),
        ('DIAG-E', 1, 'labor', 'ELE-090', NULL, 1, 'fixed', NULL, false, NULL),
        ('INSP', 1, 'labor', 'INS-010', NULL, 1, 'fixed', NULL, false, NULL),
        ('INSP', 2, 'fee', NULL, NULL, 1, 'fixed', 7, false, 'State sticker'),
        ('WIPE', 1, 'labor', 'BDY-010', NULL, 1, 'fixed', NULL, false, NULL),
        ('WIPE', 2, 'part_type', NULL, 8852, 2, 'fixed', NULL, false, NULL),
        ('WSHLD', 1, 'labor', 'GLS-010', NULL, 1, 'fixed', NULL, false, NULL),
        ('WSHLD', 2, 'labor', 'ADS-010', NULL, 1, 'fixed', NULL, false, NULL),
        ('WSHLD', 3, 'part_type', NULL, 9016, 1, 'fixed', NULL, false, NULL),
        ('WSHLD', 4, 'sublet', NULL, NULL, 1, 'fixed', 180, false, 'Mobile glass'),
        ('EV-CHK', 1, 'labor', 'EV-010', NULL, 1, 'fixed', NULL, false, NULL),
        ('OLD-CARB', 1, 'fee', NULL, NULL, 1, 'fixed', 5, false, 'Shop supplies')
) AS v (job, seq, kind, operation, type, qty, rule, price, optional, note)
JOIN auto.canned_job AS j ON j.business_id = %(business_id)s AND j.job_code = v.job
LEFT JOIN guide AS g ON g.operation_code = v.operation
LEFT JOIN auto.labor_operation AS o
    ON o.business_id = %(business_id)s AND o.operation_code = v.operation
LEFT JOIN auto.part_type AS t
    ON t.business_id = %(business_id)s AND t.terminology_code = v.type;

-- The makers' schedules: by distance or months, whichever comes first; severe use halves it, oil is
-- due when the car says so.
INSERT INTO auto.maintenance_interval
    (business_id, maintenance_interval_id, vehicle_configuration_id, canned_job_id,
     labor_operation_id, service_name, schedule_kind, interval_distance, interval_months,
     first_due_distance, first_due_months, is_indicator_driven, indicator_code, source_ref,
     priority)
SELECT c.business_id, md5(c.vehicle_configuration_id || v.service || k.kind)::uuid,
       c.vehicle_configuration_id, j.canned_job_id, o.labor_operation_id, v.service, k.kind,
       CASE WHEN k.kind = 'severe' THEN v.miles / 2 ELSE v.miles END, v.months,
       CASE WHEN k.kind = 'severe' THEN v.miles / 2 ELSE v.miles END, v.months,
       v.service = 'Engine oil and filter' AND c.model_year >= 2018,
       CASE WHEN v.service = 'Engine oil and filter' AND c.model_year >= 2018 THEN 'OIL-LIFE' END,
       c.make_name || ' maintenance guide ' || c.model_year, v.priority
FROM (
    VALUES ('Engine oil and filter', 'LOF-SYN', 'LUB-010', 7500, 12, 'ice', 'warranty_required'),
           ('Rotate tires', 'ROT', 'TIR-010', 7500, NULL, 'all', 'recommended'),
           ('Cabin air filter', NULL, 'FLT-020', 20000, 24, 'all', 'recommended'),
           ('Engine air filter', NULL, 'FLT-010', 30000, 36, 'ice', 'recommended'),
           ('Brake fluid', 'BRK-FL', 'BRK-050', NULL, 36, 'all', 'safety'),
           ('Spark plugs', 'TUNE', 'IGN-010', 100000, NULL, 'gas', 'recommended'),
           ('Engine coolant', 'COOL', 'COL-040', 100000, 120, 'ice', 'warranty_required'),
           ('High-voltage battery check', 'EV-CHK', 'EV-010', 15000, 12, 'hv', 'warranty_required')
) AS v (service, job, operation, miles, months, applies, priority)
JOIN (SELECT DISTINCT x.business_id, x.vehicle_configuration_id
      FROM auto.vehicle AS x
      WHERE x.business_id = %(business_id)s) AS road ON true
JOIN auto.vehicle_configuration AS c
    ON c.business_id = road.business_id
   AND c.vehicle_configuration_id = road.vehicle_configuration_id AND c.model_year IS NOT NULL
   AND CASE v.applies WHEN 'ice' THEN c.fuel_kind <> 'battery_electric'
                      WHEN 'gas' THEN c.fuel_kind NOT IN ('battery_electric', 'diesel')
                      WHEN 'hv' THEN c.fuel_kind IN ('battery_electric', 'hybrid',
                                                     'plug_in_hybrid')
                      ELSE true END
JOIN auto.labor_operation AS o
    ON o.business_id = c.business_id AND o.operation_code = v.operation
LEFT JOIN auto.canned_job AS j ON j.business_id = c.business_id AND j.job_code = v.job
CROSS JOIN LATERAL (
    SELECT CASE WHEN c.fuel_kind = 'battery_electric' THEN 'ev'
                WHEN v.miles IS NULL THEN 'time_only' ELSE 'normal' END AS kind
    UNION ALL
    SELECT 'severe' WHERE v.service IN ('Engine oil and filter', 'Engine air filter')
) AS k;

-- Every fleet pays less for labor and parts, oil changes at a price; some have a cap on brakes.
INSERT INTO auto.fleet_price_agreement
    (business_id, fleet_price_agreement_id, fleet_account_id, canned_job_id, part_type_id,
     agreement_kind, fixed_price, adjust_pct, cap_amount, max_vehicle_age_years, duty_class,
     effective_on, ends_on, approval_note)
SELECT f.business_id, md5(f.fleet_account_id || v.kind || v.first_day)::uuid, f.fleet_account_id,
       j.canned_job_id, t.part_type_id, v.kind, v.price, v.pct, v.cap, v.age, 'light',
       (%(as_of)s::timestamptz)::date - v.first_day, (%(as_of)s::timestamptz)::date - v.last_day,
       'Signed with the fleet''s manager'
FROM auto.fleet_account AS f
CROSS JOIN (
    VALUES ('labor_discount', NULL, NULL, NULL, -10, NULL, NULL, 700, 336),
           ('labor_discount', NULL, NULL, NULL, -12, NULL, NULL, 335, NULL),
           ('parts_discount', NULL, NULL, NULL, -8, NULL, 12, 335, NULL),
           ('fixed_job', 'LOF-SYN', NULL, 79.95, NULL, NULL, NULL, 335, NULL),
           ('parts_cost_plus', NULL, 2706, NULL, 25, NULL, NULL, 200, NULL),
           ('price_cap', 'BRK-F', NULL, NULL, NULL, 640, NULL, 200, NULL)
) AS v (kind, job, type, price, pct, cap, age, first_day, last_day)
LEFT JOIN auto.canned_job AS j ON j.business_id = f.business_id AND j.job_code = v.job
LEFT JOIN auto.part_type AS t ON t.business_id = f.business_id AND t.terminology_code = v.type
WHERE f.business_id = %(business_id)s
  AND (v.kind IN ('labor_discount', 'fixed_job')
       OR abs(hashtext(f.fleet_account_id || v.kind)) %% 2 = 0);
