-- A store associate, or the web shop, asks where a variant is: what may be sold, what is on its way.
-- budget: p95 50ms
-- weight: 12
-- mode: read
-- rows: >=1
-- params: product_variant_id from ret.stock_level
SELECT l.business_id, p.location_code, p.display_name, p.location_kind, v.sku, v.title,
       sum(l.on_hand_qty) AS on_hand_qty, sum(l.available_qty) AS available_qty,
       sum(l.incoming_qty) AS incoming_qty,
       (SELECT min(t.expected_at)
        FROM ret.stock_transfer_line AS x
        JOIN ret.stock_transfer AS t
            ON t.business_id = %(business_id)s AND t.stock_transfer_id = x.stock_transfer_id
           AND t.state IN ('in_transit', 'partly_received')
        WHERE x.business_id = %(business_id)s AND x.product_variant_id = v.product_variant_id
          AND t.to_location_id = p.location_id) AS next_incoming_at,
       (SELECT array_agg(DISTINCT c.capability ORDER BY c.capability)
        FROM ret.fulfilment_capability AS c
        WHERE c.business_id = %(business_id)s AND c.location_id = p.location_id
          AND c.is_enabled) AS capabilities
FROM ret.product_variant AS v
JOIN ret.stock_level AS l
    ON l.business_id = %(business_id)s AND l.product_variant_id = v.product_variant_id
JOIN ret.location AS p
    ON p.business_id = %(business_id)s AND p.location_id = l.location_id
WHERE v.business_id = %(business_id)s AND v.product_variant_id = %(product_variant_id)s
GROUP BY l.business_id, p.location_id, p.location_code, p.display_name, p.location_kind,
         v.product_variant_id, v.sku, v.title
ORDER BY available_qty DESC, p.location_code
