-- A cashier scans a barcode: what it is, what it costs here, stock, tax class, age to check.
-- budget: p95 25ms
-- weight: 20
-- mode: read
-- rows: >=1
-- params: barcode from ret.variant_barcode where is_primary
WITH till AS (
    SELECT l.location_id, h.sales_channel_id
    FROM ret.location AS l
    JOIN ret.sales_channel AS h
        ON h.business_id = %(business_id)s AND h.channel_kind = 'store' AND h.is_active
    WHERE l.business_id = %(business_id)s AND l.location_kind = 'store'
    ORDER BY l.location_code, h.channel_code
    LIMIT 1
)
SELECT k.business_id, v.product_variant_id, v.sku, v.title, v.is_weighed, k.units_per_pack,
       r.price, r.compare_at, r.price_book_id, t.tax_class_code, p.age_restriction_years,
       (SELECT sum(s.available_qty)
        FROM ret.stock_level AS s
        WHERE s.business_id = %(business_id)s AND s.location_id = w.location_id
          AND s.product_variant_id = v.product_variant_id) AS available
FROM ret.variant_barcode AS k
CROSS JOIN till AS w
JOIN ret.product_variant AS v
    ON v.business_id = %(business_id)s AND v.product_variant_id = k.product_variant_id
JOIN ret.product AS p ON p.business_id = %(business_id)s AND p.product_id = v.product_id
JOIN ret.tax_class AS t ON t.business_id = %(business_id)s AND t.tax_class_id = p.tax_class_id
CROSS JOIN LATERAL ret.resolve_price(
    v.product_variant_id, w.sales_channel_id, w.location_id) AS r
WHERE k.business_id = %(business_id)s AND k.barcode = %(barcode)s
