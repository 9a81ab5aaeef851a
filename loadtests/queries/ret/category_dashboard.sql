-- A buyer opens the dashboard: how each category did at each place in the last weeks.
-- budget: p95 300ms
-- weight: 1
-- mode: read
-- rows: >=1
SELECT v.business_id, v.week_start, c.path_text AS category, l.location_code, v.net_sales,
       v.margin, v.margin_pct, c.target_margin_pct, v.units_sold, v.markdown, v.stock_value,
       v.stock_turn, v.sell_through_pct, v.stockout_hours, v.lost_units
FROM ret.v_category_week AS v
JOIN ret.category AS c
    ON c.business_id = %(business_id)s AND c.category_id = v.category_id
JOIN ret.location AS l
    ON l.business_id = %(business_id)s AND l.location_id = v.location_id
WHERE v.business_id = %(business_id)s
ORDER BY v.week_start DESC, v.net_sales DESC, v.category_id, v.location_id
LIMIT 200
