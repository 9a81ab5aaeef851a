-- An advisor searches brake pads for this vehicle: what fits, where it lies, who sells it for what.
-- budget: p95 200ms
-- weight: 8
-- mode: read
-- rows: >=0
-- params: vehicle_id from auto.vehicle where vehicle_configuration_id IS NOT NULL
-- params: part_type_id from auto.part_fitment where NOT is_excluded
WITH RECURSIVE line AS (
    SELECT f.part_id, f.position, f.qty_per_vehicle, f.fitment_note, f.confidence, 0 AS step
    FROM auto.vehicle AS v
    JOIN auto.part_fitment AS f
        ON f.business_id = %(business_id)s
        AND f.vehicle_configuration_id = v.vehicle_configuration_id
        AND f.part_type_id = %(part_type_id)s
        AND NOT f.is_excluded
        AND NOT EXISTS (
            SELECT
            FROM jsonb_each_text(f.qualifiers) AS q (key, value)
            WHERE q.key IN ('refrigerant_code', 'usage_kind', 'vehicle_kind')
                AND q.value <> to_jsonb(v) ->> q.key
        )
    WHERE v.business_id = %(business_id)s AND v.vehicle_id = %(vehicle_id)s
    UNION ALL
    SELECT p.superseded_by_part_id, l.position, l.qty_per_vehicle, l.fitment_note, l.confidence,
           l.step + 1
    FROM line AS l
    JOIN auto.part AS p
        ON p.business_id = %(business_id)s AND p.part_id = l.part_id
        AND p.superseded_by_part_id IS NOT NULL
    WHERE l.step < 50
), fitting AS (
    SELECT l.part_id, l.position, max(l.qty_per_vehicle) AS qty_per_vehicle,
           string_agg(DISTINCT l.fitment_note, '; ') AS fitment_note,
           bool_and(l.confidence = 'disputed') AS is_disputed
    FROM line AS l
    GROUP BY l.part_id, l.position
)
SELECT p.business_id, p.part_id, p.brand_code, p.part_number, p.description, p.condition,
       f.position, f.qty_per_vehicle, f.fitment_note, f.is_disputed, p.core_charge_amount,
       coalesce(s.free_qty, 0) AS free_qty, s.average_cost, offer.supplier_name,
       offer.supplier_sku, offer.cost_price, offer.available_qty,
       CASE WHEN s.free_qty > 0 THEN 0 ELSE offer.lead_time_minutes END AS eta_minutes,
       price.unit_price AS retail_price
FROM fitting AS f
JOIN auto.part AS p
    ON p.business_id = %(business_id)s AND p.part_id = f.part_id
    AND p.superseded_by_part_id IS NULL
LEFT JOIN LATERAL (
    SELECT sum(b.on_hand_qty - b.committed_qty) AS free_qty, max(b.average_cost) AS average_cost
    FROM auto.stock_balance AS b
    WHERE b.business_id = %(business_id)s AND b.part_id = p.part_id
) AS s ON true
LEFT JOIN LATERAL (
    -- Offers in their order, so that suppliers are looked up until one is active.
    SELECT u.name AS supplier_name, o.supplier_sku, o.cost_price, o.available_qty,
           o.lead_time_minutes
    FROM (
        SELECT x.supplier_id, x.supplier_sku, x.cost_price, x.available_qty, x.lead_time_minutes,
               x.supplier_part_id, x.available_qty > 0 AS is_there
        FROM auto.supplier_part AS x
        WHERE x.business_id = %(business_id)s AND x.part_id = p.part_id AND NOT x.is_discontinued
        ORDER BY is_there DESC, x.cost_price, x.lead_time_minutes, x.supplier_part_id
    ) AS o
    JOIN auto.supplier AS u
        ON u.business_id = %(business_id)s AND u.supplier_id = o.supplier_id AND u.is_active
    ORDER BY o.is_there DESC, o.cost_price, o.lead_time_minutes, o.supplier_part_id
    LIMIT 1
) AS offer ON true
LEFT JOIN LATERAL (
    SELECT x.unit_price
    FROM auto.part_price AS x
    WHERE x.business_id = %(business_id)s AND x.part_id = p.part_id
        AND x.price_kind IN ('retail', 'list')
        AND x.min_qty <= f.qty_per_vehicle
        AND (x.max_qty IS NULL OR x.max_qty >= f.qty_per_vehicle)
        AND x.effective_on <= current_date
        AND (x.ends_on IS NULL OR x.ends_on >= current_date)
    ORDER BY x.price_kind = 'retail' DESC, x.effective_on DESC, x.part_price_id
    LIMIT 1
) AS price ON true
ORDER BY f.is_disputed, coalesce(s.free_qty, 0) > 0 DESC, offer.cost_price NULLS LAST,
         offer.lead_time_minutes NULLS LAST, p.part_id, f.position
LIMIT 50
