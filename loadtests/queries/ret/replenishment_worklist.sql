-- A planner opens what is proposed for a location, the worst first, with position and forecast.
-- budget: p95 300ms
-- weight: 2
-- mode: read
-- rows: >=1
-- params: location_id from ret.replenishment_suggestion where state = 'proposed'
WITH open_order AS (
    SELECT p.product_variant_id, sum(l.ordered_qty - l.received_qty) AS ordered_qty,
           min(l.promised_on) AS promised_on
    FROM ret.purchase_order_line AS l
    JOIN ret.supplier_product AS p
        ON p.business_id = %(business_id)s AND p.supplier_product_id = l.supplier_product_id
    WHERE l.business_id = %(business_id)s
      AND l.state IN ('open', 'confirmed', 'partly_received')
    GROUP BY p.product_variant_id
), forecast AS (
    SELECT DISTINCT ON (f.product_variant_id) f.product_variant_id, f.forecast_qty, f.high_qty
    FROM ret.demand_forecast AS f
    WHERE f.business_id = %(business_id)s AND f.location_id = %(location_id)s
    ORDER BY f.product_variant_id, f.week_start DESC, f.run_at DESC
)
SELECT s.business_id, v.sku, v.title, s.suggested_qty, s.stockout_risk_pct, s.days_cover_after,
       l.on_hand_qty, l.available_qty, l.incoming_qty, r.method, r.order_multiple,
       coalesce(f.forecast_qty, s.forecast_qty) AS forecast_qty, f.high_qty, o.ordered_qty,
       o.promised_on, s.inputs_doc
FROM ret.replenishment_suggestion AS s
JOIN ret.replenishment_rule AS r
    ON r.business_id = %(business_id)s AND r.replenishment_rule_id = s.replenishment_rule_id
JOIN ret.product_variant AS v
    ON v.business_id = %(business_id)s AND v.product_variant_id = s.product_variant_id
LEFT JOIN ret.stock_level AS l
    ON l.business_id = %(business_id)s AND l.location_id = s.location_id
   AND l.product_variant_id = s.product_variant_id AND l.consignment_agreement_id IS NULL
LEFT JOIN forecast AS f ON f.product_variant_id = s.product_variant_id
LEFT JOIN open_order AS o ON o.product_variant_id = s.product_variant_id
WHERE s.business_id = %(business_id)s AND s.location_id = %(location_id)s
  AND s.state = 'proposed'
ORDER BY s.stockout_risk_pct DESC, v.sku
LIMIT 200
