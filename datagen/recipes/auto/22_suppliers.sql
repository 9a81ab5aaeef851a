SET LOCAL enable_nestloop = off;

-- List prices: what the counter quotes for the original part; premium, standard and economy brands
-- follow at 82, 64 and 45 percent. A sheet ended when the next began, four percent up.
INSERT INTO auto.part_price
    (business_id, part_price_id, part_id, price_kind, price_sheet_number, currency_code,
     unit_price, min_qty, max_qty, effective_on, ends_on, superseded_price_sheet, changed_pct)
SELECT p.business_id, md5(p.part_id || k.kind || y.sheet || q.least)::uuid, p.part_id, k.kind,
       y.sheet, b.currency_code,
       round(d.list * k.share * y.share * q.share, 2), q.least, q.most,
       y.effective_on, y.ends_on, y.superseded, y.changed_pct
FROM auto.part AS p
JOIN tenant_mgmt.business AS b ON b.business_id = p.business_id
JOIN auto.part_type AS t
    ON t.business_id = p.business_id AND t.part_type_id = p.part_type_id
JOIN (
    VALUES
        (1684, 68), (1896, 84), (1688, 142), (1836, 165), (5340, 11), (6192, 24), (6832, 27),
        (7212, 14), (7060, 72), (2706, 189), (2412, 329), (4152, 265), (2336, 118), (2172, 36),
        (2184, 245), (2100, 42), (5776, 238), (5080, 48), (5808, 890), (5132, 94), (10030, 48),
        (7556, 88), (7600, 134), (7568, 148), (1636, 152), (7316, 128), (6956, 385), (8852, 21),
        (9016, 410), (12180, 54), (13020, 890), (15004, 1450), (11387, 9), (11393, 16), (11395,
        12), (11391, 11), (11396, 68)
) AS v (code, list) ON v.code = t.terminology_code
CROSS JOIN LATERAL (
    SELECT v.list * (ARRAY[1.00, 0.82, 0.64, 0.45])[split_part(p.part_number, '/', 2)::integer / 10]
           * (0.94 + abs(hashtext(p.part_number)) %% 13 / 100.0) AS list
) AS d
CROSS JOIN (VALUES ('list', 1.0), ('jobber', 0.72)) AS k (kind, share)
CROSS JOIN LATERAL (
    VALUES ('PS-2025', 0.96, (%(as_of)s::timestamptz)::date - 500,
            (%(as_of)s::timestamptz)::date - 151, NULL, NULL),
           ('PS-2026', 1.00, (%(as_of)s::timestamptz)::date - 150, NULL, 'PS-2025', 4.1667)
) AS y (sheet, share, effective_on, ends_on, superseded, changed_pct)
-- What is bought by the case is cheaper from twelve on.
CROSS JOIN LATERAL (
    SELECT 1 AS least, CASE WHEN t.category IN ('fluids', 'filters') AND k.kind = 'jobber'
                            THEN 11.9999 END AS most, 1.0 AS share
    UNION ALL
    SELECT 12, NULL, 0.9 WHERE t.category IN ('fluids', 'filters') AND k.kind = 'jobber'
) AS q
WHERE p.business_id = %(business_id)s;

-- Who has what: dealers the original parts, stores the other brands, rebuilders what has a core.
-- A store costs near the jobber price; cores cost less than they are charged for.
INSERT INTO auto.supplier_part
    (business_id, supplier_part_id, supplier_id, part_id, supplier_sku, cost_price, core_cost,
     list_price, min_order_qty, available_qty, warehouse_code, lead_time_minutes, refreshed_at,
     preference_rank, is_discontinued)
SELECT p.business_id, md5(s.supplier_id || p.part_id::text)::uuid, s.supplier_id, p.part_id,
       split_part(s.supplier_code, '-', 1) || p.compressed_number,
       round(j.unit_price * (0.93 + d.dice %% 12 / 100.0), 2),
       p.core_charge_amount, l.unit_price,
       CASE WHEN p.pack_qty > 1 AND s.supplier_kind = 'parts_store' AND d.dice %% 6 = 0
            THEN p.pack_qty ELSE 1 END,
       CASE WHEN d.dice %% 100 >= s.fill_rate_pct THEN 0 ELSE 1 + d.dice %% 24 END,
       CASE s.supplier_kind WHEN 'oem_dealer' THEN 'DC-EAST' WHEN 'remanufacturer' THEN 'PLANT'
                            ELSE 'STORE' END,
       s.delivery_minutes + CASE WHEN d.dice %% 100 >= s.fill_rate_pct THEN 1440 ELSE 0 END,
       %(as_of)s::timestamptz - interval '1 minute' * (5 + d.dice %% 1400),
       row_number() OVER (PARTITION BY p.part_id ORDER BY s.is_preferred DESC, s.supplier_code),
       p.life_cycle = 'discontinued' AND d.dice %% 2 = 0
FROM auto.part AS p
JOIN auto.part_type AS t
    ON t.business_id = p.business_id AND t.part_type_id = p.part_type_id
JOIN auto.supplier AS s
    ON s.business_id = p.business_id AND s.is_active
   AND (s.supplier_kind = 'oem_dealer' AND p.condition = 'oem'
        OR s.supplier_kind = 'parts_store' AND p.condition <> 'oem'
        OR s.supplier_kind = 'remanufacturer' AND p.condition = 'remanufactured'
        OR s.supplier_kind = 'tire_distributor' AND t.category = 'tires')
JOIN auto.part_price AS j
    ON j.business_id = p.business_id AND j.part_id = p.part_id AND j.price_kind = 'jobber'
   AND j.ends_on IS NULL AND j.min_qty = 1
JOIN auto.part_price AS l
    ON l.business_id = p.business_id AND l.part_id = p.part_id AND l.price_kind = 'list'
   AND l.ends_on IS NULL
CROSS JOIN LATERAL (
    SELECT abs(hashtext(s.supplier_code || p.part_number)) AS dice
) AS d
-- Nobody stocks everything.
WHERE p.business_id = %(business_id)s AND d.dice %% 10 < 8;
