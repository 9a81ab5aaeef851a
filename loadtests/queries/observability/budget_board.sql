-- The board of all critical queries: latest verdict, part of the budget used, open breaches.
-- budget: p95 100ms
-- weight: 2
-- mode: read
-- rows: >=1
SELECT s.business_id, s.query_code, s.title, s.condition, s.limit_p95_ms, s.p95_ms, s.ratio,
       s.verdict, s.measured_at, s.open_breaches
FROM observability.v_budget_status AS s
WHERE s.business_id = %(business_id)s
ORDER BY s.open_breaches DESC, s.ratio DESC NULLS LAST
LIMIT 100
