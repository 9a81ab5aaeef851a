-- The merchandiser of the shop asks by which facets shoppers narrow their lists.
-- budget: p95 300ms
-- weight: 1
-- mode: read
-- rows: >=1
SELECT f.business_id, f.facet, f.value, sum(f.uses) AS uses, sum(f.sessions) AS visits,
       round(100 * sum(f.uses) / sum(sum(f.uses)) OVER (PARTITION BY f.facet), 1) AS share_pct
FROM ret.v_facet_use AS f
WHERE f.business_id = %(business_id)s
GROUP BY f.business_id, f.facet, f.value
ORDER BY uses DESC, f.facet, f.value
LIMIT 50
