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
FROM (
    SELECT s.business_id, s.location_id, s.replenishment_suggestion_id, s.run_at,
           s.product_variant_id, v.sku, v.title, v.abc_class, r.method, r.supplier_id,
           r.source_location_id, s.suggested_qty, s.stockout_risk_pct, s.days_cover_after,
           l.on_hand_qty, l.available_qty, l.incoming_qty, o.ordered_qty, o.next_on,
           f.weeks AS forecast_weeks, f.forecast_qty, f.high_qty, f.promotions, s.inputs_doc
    FROM ret.replenishment_suggestion AS s
    JOIN ret.replenishment_rule AS r
        ON r.business_id = %(business_id)s AND r.replenishment_rule_id = s.replenishment_rule_id
    JOIN ret.product_variant AS v
        ON v.business_id = %(business_id)s AND v.product_variant_id = s.product_variant_id
    LEFT JOIN LATERAL (
        SELECT sum(x.on_hand_qty) AS on_hand_qty, sum(x.available_qty) AS available_qty,
               sum(x.incoming_qty) AS incoming_qty
        FROM ret.stock_level AS x
        WHERE x.business_id = %(business_id)s AND x.location_id = s.location_id
          AND x.product_variant_id = s.product_variant_id
    ) AS l ON true
    LEFT JOIN LATERAL (
        SELECT sum(y.ordered_qty - y.received_qty - y.cancelled_qty) AS ordered_qty,
               min(x.ship_window_end) AS next_on
        FROM ret.supplier_product AS z
        JOIN ret.purchase_order_line AS y
            ON y.business_id = %(business_id)s AND y.supplier_product_id = z.supplier_product_id
           AND y.received_qty + y.cancelled_qty < y.ordered_qty
        JOIN ret.purchase_order AS x
            ON x.business_id = %(business_id)s AND x.purchase_order_id = y.purchase_order_id
           AND x.location_id = s.location_id AND x.state IN ('sent', 'acknowledged', 'partly_received')
        WHERE z.business_id = %(business_id)s AND z.product_variant_id = s.product_variant_id
    ) AS o ON true
    LEFT JOIN LATERAL (
        -- The newest forecast of each of the four weeks after the run.
        SELECT count(*) AS weeks, sum(w.forecast_qty) AS forecast_qty, sum(w.high_qty) AS high_qty,
               count(w.promotion_id) AS promotions
        FROM (
            SELECT DISTINCT ON (x.week_start) x.week_start, x.forecast_qty, x.high_qty,
                   x.promotion_id
            FROM ret.demand_forecast AS x
            WHERE x.business_id = %(business_id)s AND x.location_id = s.location_id
              AND x.product_variant_id = s.product_variant_id
              AND x.week_start > (s.run_at AT TIME ZONE 'UTC')::date - 7
              AND x.week_start <= (s.run_at AT TIME ZONE 'UTC')::date + 21
            ORDER BY x.week_start, x.run_at DESC
        ) AS w
    ) AS f ON true
    WHERE s.state = 'proposed'
) AS w
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
