SET LOCAL enable_nestloop = off;

-- The cars are the same in every tenant: in their order each gets a build, 6 of 100 electric, 9
-- hybrid, 4 diesel. A VIN tells its maker and, at place 10, the model year; the check digit is
-- right but for 1 in 100.
WITH car AS (
    SELECT x.vehicle_id,
           row_number() OVER (ORDER BY right(x.vin, 6), x.vehicle_id) - 1 AS no
    FROM auto.vehicle AS x
    WHERE x.business_id = %(business_id)s
), wanted AS (
    SELECT x.vehicle_id, x.no,
           CASE WHEN x.no %% 100 IN (4, 21, 38, 55, 72, 89) THEN 'battery_electric'
                WHEN x.no %% 100 IN (7, 18, 29, 40, 51, 62, 73, 84, 95) THEN 'hybrid'
                WHEN x.no %% 100 IN (12, 37, 63, 87) THEN 'diesel'
                ELSE 'gasoline' END AS fuel_kind
    FROM car AS x
), counted AS (
    SELECT w.*, row_number() OVER (PARTITION BY w.fuel_kind ORDER BY w.no) - 1 AS place
    FROM wanted AS w
), build AS (
    SELECT c.*, count(*) OVER (PARTITION BY c.fuel_kind) AS size,
           row_number() OVER (PARTITION BY c.fuel_kind
                              ORDER BY md5(c.base_vehicle_code || '/' || c.engine_code),
                                       c.base_vehicle_code, c.engine_code) - 1 AS place
    FROM auto.vehicle_configuration AS c
    WHERE c.business_id = %(business_id)s
), made AS (
    SELECT x.vehicle_id, x.no, b.*,
           CASE b.make_name WHEN 'Ford' THEN '1FT' WHEN 'Toyota' THEN '4T1' WHEN 'Honda' THEN '1HG'
               WHEN 'Chevrolet' THEN '1G1' WHEN 'Nissan' THEN '1N4' WHEN 'Hyundai' THEN '5NP'
               WHEN 'Kia' THEN '5XY' WHEN 'Subaru' THEN '4S4' WHEN 'Jeep' THEN '1C4'
               WHEN 'Ram' THEN '1C6' WHEN 'Volkswagen' THEN '3VW' WHEN 'BMW' THEN 'WBA'
               WHEN 'Mazda' THEN 'JM3' WHEN 'GMC' THEN '3GT' WHEN 'Tesla' THEN '5YJ'
               ELSE '1HG' END
           || 'CM826' || '0'
           || coalesce(substr('CDEFGHJKLMNPRS', b.model_year - 2011, 1), 'A')
           || 'A' || lpad((x.no + 100000)::text, 6, '0') AS plain_vin
    FROM counted AS x
    JOIN build AS b ON b.fuel_kind = x.fuel_kind AND b.place = x.place %% b.size
)
UPDATE auto.vehicle AS v
SET vehicle_configuration_id = m.vehicle_configuration_id,
    vin = overlay(m.plain_vin PLACING
          CASE WHEN m.no %% 100 <> 57 THEN auto.vin_check_character(m.plain_vin)
               WHEN auto.vin_check_character(m.plain_vin) = '0' THEN '1' ELSE '0' END FROM 9),
    license_plate = 'AB' || lpad((10000 + m.no * 37 %% 89989)::text, 5, '0'),
    vehicle_kind = CASE WHEN m.body_style IN ('Pickup', 'Van') THEN 'light_truck'
                        ELSE 'passenger' END,
    usage_kind = CASE WHEN m.no %% 10 = 5 THEN 'fleet' WHEN m.no %% 33 = 16 THEN 'loaner'
                      WHEN m.no %% 33 = 22 THEN 'rideshare' ELSE 'personal' END,
    in_service_on = least(make_date(m.model_year - 1, (9 + m.no %% 4)::integer,
                                    (1 + m.no %% 28)::integer),
                          (%(as_of)s::timestamptz AT TIME ZONE 'UTC')::date - 400),
    refrigerant_code = CASE WHEN m.model_year >= 2017 THEN 'r1234yf' ELSE 'r134a' END,
    oil_spec = CASE m.fuel_kind WHEN 'battery_electric' THEN NULL WHEN 'diesel' THEN '15W-40'
                                WHEN 'hybrid' THEN '0W-16' ELSE v.oil_spec END
FROM made AS m
WHERE v.business_id = %(business_id)s AND v.vehicle_id = m.vehicle_id;

-- The cars of a fleet are its units, the shop's own stand in the loaner pool, one in twelve is
-- leased; nobody holds a car before it was in service.
WITH held AS (
    SELECT o.vehicle_ownership_id, v.usage_kind, v.in_service_on,
           row_number() OVER (ORDER BY v.vin, o.vehicle_ownership_id) - 1 AS no,
           row_number() OVER (PARTITION BY v.usage_kind
                              ORDER BY v.vin, o.vehicle_ownership_id) - 1 AS place
    FROM auto.vehicle_ownership AS o
    JOIN auto.vehicle AS v
        ON v.business_id = o.business_id AND v.vehicle_id = o.vehicle_id
    WHERE o.business_id = %(business_id)s
), fleet AS (
    SELECT f.fleet_account_id, f.customer_id, count(*) OVER () AS size,
           row_number() OVER (ORDER BY f.account_number) - 1 AS place
    FROM auto.fleet_account AS f
    WHERE f.business_id = %(business_id)s
)
UPDATE auto.vehicle_ownership AS o
SET relation = CASE WHEN h.usage_kind = 'fleet' THEN 'fleet_unit'
                    WHEN h.usage_kind = 'loaner' THEN 'loaner_pool'
                    WHEN h.no %% 12 = 5 THEN 'lessee' ELSE 'owner' END,
    fleet_account_id = CASE WHEN h.usage_kind = 'fleet' THEN f.fleet_account_id END,
    customer_id = CASE WHEN h.usage_kind = 'fleet' THEN f.customer_id ELSE o.customer_id END,
    driver_contact_id = NULL,
    unit_number = CASE WHEN h.usage_kind = 'fleet'
                       THEN 'U' || lpad((h.place + 1)::text, 3, '0') END,
    cost_center = CASE WHEN h.usage_kind = 'fleet' THEN 'CC-' || 100 + h.place %% 7 * 10 END,
    department_name = CASE WHEN h.usage_kind = 'fleet'
        THEN (ARRAY['Delivery', 'Service', 'Sales', 'Maintenance'])[1 + h.place %% 4] END,
    starts_on = greatest(o.starts_on, h.in_service_on),
    lease_ends_on = CASE WHEN h.usage_kind NOT IN ('fleet', 'loaner') AND h.no %% 12 = 5
                         THEN greatest(o.starts_on, h.in_service_on) + 1095 END,
    lease_distance_limit = CASE WHEN h.usage_kind NOT IN ('fleet', 'loaner') AND h.no %% 12 = 5
                                THEN 36000 END
FROM held AS h
LEFT JOIN fleet AS f ON h.place %% f.size = f.place
WHERE o.business_id = %(business_id)s AND o.vehicle_ownership_id = h.vehicle_ownership_id;

-- What was decoded is the VIN of the car, the answer is its build; one in twelve still waits for
-- a choice between two.
WITH asked AS (
    SELECT x.vin_decode_id, row_number() OVER (ORDER BY x.requested_at, x.vin_decode_id) - 1 AS no
    FROM auto.vin_decode AS x
    WHERE x.business_id = %(business_id)s
)
UPDATE auto.vin_decode AS d
SET vin_submitted = v.vin,
    wmi_code = left(v.vin, 3), vds_code = substr(v.vin, 4, 5),
    model_year_code = substr(v.vin, 10, 1), plant_code = substr(v.vin, 11, 1),
    error_codes = CASE WHEN v.is_vin_check_valid THEN '{}'::text[] ELSE ARRAY['1'] END,
    response_document = jsonb_build_object(
        'model_year', c.model_year, 'make', c.make_name, 'model', c.model_name,
        'submodel', c.submodel_name, 'engine_code', c.engine_code, 'drive', c.drive_kind,
        'fuel', c.fuel_kind),
    ambiguity_count = CASE WHEN a.no %% 12 = 11 THEN 2 ELSE 1 END,
    match_confidence_score = CASE WHEN a.no %% 12 = 11 THEN 0.5 ELSE 1 END,
    confirmed_by_user_id = CASE WHEN a.no %% 12 <> 11 THEN d.confirmed_by_user_id END,
    matched_vehicle_configuration_id =
        CASE WHEN a.no %% 12 <> 11 THEN v.vehicle_configuration_id END
FROM asked AS a, auto.vehicle AS v
JOIN auto.vehicle_configuration AS c
    ON c.business_id = v.business_id
   AND c.vehicle_configuration_id = v.vehicle_configuration_id
WHERE d.business_id = %(business_id)s AND d.vin_decode_id = a.vin_decode_id
  AND v.business_id = d.business_id AND v.vehicle_id = d.vehicle_id;
