SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Stores are managed by the first accounts of the tenant.
UPDATE ret.location AS l
SET manager_user_id = u.user_account_id
FROM (
    SELECT x.location_id, row_number() OVER (ORDER BY x.location_code) AS place
    FROM ret.location AS x
    WHERE x.business_id = %(business_id)s
) AS n
JOIN (
    SELECT x.user_account_id, row_number() OVER (ORDER BY x.user_account_id) AS place
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s
) AS u ON u.place = n.place
WHERE l.business_id = %(business_id)s AND l.location_id = n.location_id;

-- Stores hand over while they trade, and receive in the morning but not on Sunday.
INSERT INTO ret.location_hours
    (business_id, location_hours_id, location_id, hours_kind, rule_kind, weekday, opens_time,
     closes_time, cut_off_time)
SELECT h.business_id, md5('hours ' || k.hours_kind || h.location_hours_id)::uuid, h.location_id,
       k.hours_kind, 'weekly', h.weekday,
       CASE k.hours_kind WHEN 'pickup' THEN h.opens_time + interval '1 hour' ELSE TIME '06:30' END,
       CASE k.hours_kind WHEN 'pickup' THEN h.closes_time ELSE TIME '12:00' END,
       CASE k.hours_kind WHEN 'pickup' THEN TIME '16:00' END
FROM ret.location_hours AS h
CROSS JOIN (VALUES ('pickup'), ('receiving')) AS k (hours_kind)
WHERE h.business_id = %(business_id)s AND h.hours_kind = 'trading' AND h.rule_kind = 'weekly'
  AND (k.hours_kind = 'pickup' OR h.weekday < 7);

-- The boards of a rack lie within its lowest one.
UPDATE ret.bin_location AS b
SET parent_bin_id = f.bin_location_id
FROM ret.bin_location AS f
WHERE b.business_id = %(business_id)s AND b.level_no > 0
  AND f.business_id = b.business_id AND f.location_id = b.location_id AND f.level_no = 0
  AND f.aisle = b.aisle AND f.bay = b.bay;

-- Four registers stand in the first store, three in the second and one in the third.
UPDATE ret.register AS r
SET location_id = l.location_id
FROM ret.location AS l
WHERE r.business_id = %(business_id)s AND l.business_id = r.business_id
  AND l.location_code = CASE WHEN r.register_code < 'R04' THEN 'S1'
                             WHEN r.register_code < 'R07' THEN 'S2' ELSE 'S3' END;

-- Everybody ships, stores hand over and the first two deliver around them.
INSERT INTO ret.fulfilment_capability
    (business_id, fulfilment_capability_id, location_id, sales_channel_id, capability,
     daily_capacity, lead_minutes, cut_off_time, priority_no, safety_buffer_qty, radius_km)
SELECT l.business_id,
       md5('can ' || k.capability || l.location_id || c.sales_channel_id)::uuid, l.location_id,
       c.sales_channel_id, k.capability,
       CASE WHEN l.location_kind = 'warehouse' THEN 2000
            WHEN k.capability = 'ship_from' THEN 120
            WHEN k.capability = 'pickup' THEN 150 ELSE 40 END,
       CASE k.capability WHEN 'ship_from' THEN 240 WHEN 'local_delivery' THEN 180 ELSE 60 END,
       CASE k.capability WHEN 'ship_from' THEN TIME '15:00' ELSE TIME '18:00' END,
       CASE WHEN l.location_kind = 'warehouse' THEN 20 ELSE 10 END
           * CASE l.location_code WHEN 'S3' THEN 5 ELSE 1 END,
       CASE WHEN l.location_kind = 'store' AND k.capability = 'ship_from' THEN 1 ELSE 0 END,
       CASE k.capability WHEN 'local_delivery' THEN 12 END
FROM ret.location AS l
JOIN (VALUES ('warehouse', 'ship_from'), ('store', 'ship_from'), ('store', 'pickup'),
             ('store', 'curbside'), ('store', 'local_delivery'), ('store', 'endless_aisle'))
    AS k (location_kind, capability) ON k.location_kind = l.location_kind
JOIN ret.sales_channel AS c
    ON c.business_id = l.business_id
   AND CASE k.capability WHEN 'ship_from' THEN c.channel_kind <> 'store'
                         WHEN 'endless_aisle' THEN c.channel_kind = 'store'
                         ELSE c.channel_kind IN ('web', 'mobile_app') END
WHERE l.business_id = %(business_id)s
  AND (k.capability <> 'local_delivery' OR l.location_code IN ('S1', 'S2'))
  AND (k.capability <> 'curbside' OR l.location_code IN ('S2', 'S3'));

-- States lie within the country, what is smaller within its state.
UPDATE ret.tax_jurisdiction AS j
SET parent_jurisdiction_id = p.tax_jurisdiction_id
FROM ret.tax_jurisdiction AS p
WHERE j.business_id = %(business_id)s AND p.business_id = j.business_id
  AND p.level_kind = CASE j.level_kind WHEN 'state' THEN 'country' ELSE 'state' END
  AND j.level_kind <> 'country'
  AND p.country_code = j.country_code
  AND (p.level_kind = 'country' OR p.region_code = j.region_code);

-- A rate is of the class in its name.
UPDATE ret.tax_rate AS r
SET tax_class_id = c.tax_class_id
FROM ret.tax_class AS c
WHERE r.business_id = %(business_id)s AND c.business_id = r.business_id
  AND c.tax_class_code = CASE substring(r.tax_name FROM ' on (.*)$')
                             WHEN 'food' THEN 'FOOD' WHEN 'clothing' THEN 'CLOTH'
                             WHEN 'alcohol' THEN 'ALCOHOL' WHEN 'shipping' THEN 'SHIP'
                             ELSE 'STD' END;

-- What the standard rate was before, a bottle deposit at home, and a holiday before school.
INSERT INTO ret.tax_rate
    (business_id, tax_rate_id, tax_jurisdiction_id, tax_class_id, tax_name, rate_pct, rate_kind,
     max_amount, is_inclusive, is_holiday, effective_from, effective_to)
SELECT r.business_id, md5('rate ' || k.what || r.tax_rate_id)::uuid, r.tax_jurisdiction_id,
       r.tax_class_id,
       CASE k.what WHEN 'before' THEN r.tax_name WHEN 'bottle' THEN 'Bottle fee'
                   ELSE 'Back-to-school holiday' END,
       CASE k.what WHEN 'before' THEN greatest(r.rate_pct - 0.5, 0) WHEN 'bottle' THEN 5
                   ELSE 0 END,
       CASE k.what WHEN 'bottle' THEN 'per_unit' ELSE 'percent' END,
       CASE k.what WHEN 'holiday' THEN 125 END, r.is_inclusive, k.what = 'holiday',
       CASE k.what WHEN 'before' THEN r.effective_from - 2500 WHEN 'bottle' THEN r.effective_from
                   ELSE %(as_of)s::date - 300 END,
       CASE k.what WHEN 'before' THEN r.effective_from - 1 WHEN 'holiday'
                   THEN %(as_of)s::date - 294 END
FROM ret.tax_rate AS r
JOIN ret.tax_class AS c ON c.business_id = r.business_id AND c.tax_class_id = r.tax_class_id
JOIN ret.tax_jurisdiction AS j
    ON j.business_id = r.business_id AND j.tax_jurisdiction_id = r.tax_jurisdiction_id
JOIN (
    SELECT x.country_code, x.region_code
    FROM ret.location AS x
    WHERE x.business_id = %(business_id)s AND x.location_code = 'S1'
) AS h ON h.country_code = j.country_code AND j.level_kind = 'state'
      AND h.region_code = j.region_code
JOIN (VALUES ('before', 'STD'), ('bottle', 'ALCOHOL'), ('holiday', 'CLOTH'))
    AS k (what, tax_class_code) ON k.tax_class_code = c.tax_class_code
WHERE r.business_id = %(business_id)s;
