-- The merchandiser of the shop asks by which facets shoppers narrowed their lists in the last week.
-- budget: p95 300ms
-- weight: 1
-- mode: read
-- rows: >=1
-- growth: linear, it counts every use of a facet in a week
SELECT e.business_id, f.facet, f.value, count(*) AS uses,
       count(DISTINCT e.session_key) AS visits,
       round(100.0 * count(*) / sum(count(*)) OVER (PARTITION BY f.facet), 1) AS share_pct
FROM ret.web_event AS e
CROSS JOIN JSON_TABLE(e.payload, '$.facets[*]' COLUMNS (
    facet text PATH '$.facet',
    value text PATH '$.value'
)) AS f
WHERE e.business_id = %(business_id)s AND e.event_kind = 'filter'
  AND e.occurred_at > (SELECT max(x.occurred_at) - interval '7 days'
                       FROM ret.web_event AS x
                       WHERE x.business_id = %(business_id)s AND x.event_kind = 'filter')
GROUP BY e.business_id, f.facet, f.value
ORDER BY uses DESC, f.facet, f.value
LIMIT 50
