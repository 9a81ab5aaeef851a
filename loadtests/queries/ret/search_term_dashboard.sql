-- The merchandiser of the shop opens the search report of a week: wishes that are not served come
-- first.
-- budget: p95 300ms
-- weight: 1
-- mode: read
-- rows: >=1
-- params: week_start from ret.mv_channel_search_terms
-- growth: linear, every term of the week competes for the first page
SELECT v.business_id, h.display_name AS channel, v.week_start, v.search_term, v.searches,
       v.sessions, v.zero_searches, v.mean_results, v.add_to_cart_pct, v.conversion_pct
FROM ret.v_channel_search_terms AS v
JOIN ret.sales_channel AS h
    ON h.business_id = %(business_id)s AND h.sales_channel_id = v.sales_channel_id
WHERE v.business_id = %(business_id)s AND v.week_start = %(week_start)s::date
ORDER BY v.zero_searches DESC, v.searches DESC, v.sales_channel_id, v.search_term
LIMIT 100
