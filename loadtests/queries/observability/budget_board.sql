-- The board of all critical queries: verdict of this month, part of the budget used, open breaches.
-- budget: p95 100ms
-- weight: 2
-- mode: read
-- rows: >=1
SELECT s.business_id, s.query_code, s.title, s.condition, s.limit_p95_ms, s.p95_ms, s.ratio,
       s.verdict, s.measured_at, s.open_breaches
FROM (
    SELECT q.business_id, q.critical_query_id, q.query_code, q.title, b.query_budget_id, b.condition,
           b.p95_ms AS limit_p95_ms, b.gate, m.measured_at, m.sample_count, m.p95_ms, m.verdict,
           round(m.p95_ms / b.p95_ms, 4) AS ratio, coalesce(w.open_breaches, 0) AS open_breaches
    FROM observability.critical_query AS q
    JOIN observability.query_budget AS b
        ON b.business_id = %(business_id)s AND b.critical_query_id = q.critical_query_id
       AND b.effective_from <= current_date
       AND (b.effective_until IS NULL OR b.effective_until > current_date)
    LEFT JOIN LATERAL (
        -- What was measured before is no verdict on what runs today; a look at all partitions for
        -- each query would be most of what this reads.
        SELECT x.measured_at, x.sample_count, x.p95_ms, x.verdict
        FROM observability.budget_measurement AS x
        WHERE x.business_id = %(business_id)s AND x.critical_query_id = q.critical_query_id
          AND coalesce(x.query_budget_id, b.query_budget_id) = b.query_budget_id
          AND x.measured_at > now() - interval '31 days' AND x.measured_at <= now()
        ORDER BY x.measured_at DESC
        LIMIT 1
    ) AS m ON true
    LEFT JOIN (
        SELECT x.query_budget_id, count(*) AS open_breaches
        FROM observability.budget_breach AS x
        WHERE x.business_id = %(business_id)s AND x.status IN ('open', 'confirmed', 'flaky')
        GROUP BY x.query_budget_id
    ) AS w ON w.query_budget_id = b.query_budget_id
    WHERE q.status = 'active'
) AS s
WHERE s.business_id = %(business_id)s
ORDER BY s.open_breaches DESC, s.ratio DESC NULLS LAST
LIMIT 100
