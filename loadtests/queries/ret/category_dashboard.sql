-- A buyer opens the dashboard: how each category did at each place in the last weeks.
-- budget: p95 300ms
-- weight: 1
-- mode: read
-- rows: >=1
WITH v AS (
    SELECT w.*
    FROM ret.v_category_week AS w
    WHERE w.business_id = %(business_id)s
      -- The four weeks up to the last day that was summed: what was before is not read.
      AND w.week_start > (SELECT max(s.business_date) - 28
                          FROM ret.sales_day_summary AS s
                          WHERE s.business_id = %(business_id)s)
    ORDER BY w.week_start DESC, w.net_sales DESC, w.category_id, w.location_id
    LIMIT 200
)
SELECT v.business_id, v.week_start, c.path_text AS category, l.location_code, v.net_sales,
       v.margin, v.margin_pct, c.target_margin_pct, v.units_sold, v.markdown, v.stock_value,
       v.stock_turn, v.sell_through_pct, v.stockout_hours, v.lost_units
FROM v
JOIN ret.category AS c
    ON c.business_id = %(business_id)s AND c.category_id = v.category_id
JOIN ret.location AS l
    ON l.business_id = %(business_id)s AND l.location_id = v.location_id
ORDER BY v.week_start DESC, v.net_sales DESC, v.category_id, v.location_id
