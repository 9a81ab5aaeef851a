-- The owner opens the dashboard: what each brand kept on each channel in the last weeks.
-- budget: p95 300ms
-- weight: 1
-- mode: read
-- rows: >=1
SELECT v.business_id, v.week_start, b.display_name AS brand, h.display_name AS channel,
       v.net_sales, v.commission, v.marketing, v.food_cost, v.packaging, v.refunds,
       v.contribution_margin,
       round(v.contribution_margin / nullif(v.net_sales, 0) * 100, 2) AS margin_pct
FROM rest.v_brand_channel_margin AS v
JOIN rest.sales_channel AS h
    ON h.business_id = %(business_id)s AND h.sales_channel_id = v.sales_channel_id
LEFT JOIN rest.virtual_brand AS b
    ON b.business_id = %(business_id)s AND b.virtual_brand_id = v.virtual_brand_id
WHERE v.business_id = %(business_id)s
ORDER BY v.week_start DESC, v.contribution_margin DESC, v.sales_channel_id, v.virtual_brand_id
LIMIT 200
