-- A planner opens a location's proposals: what runs out first, with position, orders and forecast.
-- budget: p95 300ms
-- weight: 3
-- mode: read
-- rows: >=1
-- params: location_id from ret.replenishment_suggestion where state = 'proposed'
SELECT w.business_id, w.replenishment_suggestion_id, w.run_at, w.sku, w.title, w.abc_class,
       w.method, coalesce(s.legal_name, f.display_name) AS comes_from, w.suggested_qty,
       w.stockout_risk_pct, w.days_cover_after, w.on_hand_qty, w.available_qty, w.incoming_qty,
       w.ordered_qty, w.next_on, w.forecast_qty, w.high_qty, w.promotions, i.per_day, i.lead_days,
       i.safety_stock
FROM ret.v_replenishment_worklist AS w
CROSS JOIN JSON_TABLE(w.inputs_doc, '$' COLUMNS (
    per_day      numeric PATH '$.per_day',
    lead_days    integer PATH '$.lead_days',
    safety_stock numeric PATH '$.safety_stock'
)) AS i
LEFT JOIN ret.supplier AS s
    ON s.business_id = %(business_id)s AND s.supplier_id = w.supplier_id
LEFT JOIN ret.location AS f
    ON f.business_id = %(business_id)s AND f.location_id = w.source_location_id
WHERE w.business_id = %(business_id)s AND w.location_id = %(location_id)s
ORDER BY w.stockout_risk_pct DESC, w.abc_class, w.sku
LIMIT 200
