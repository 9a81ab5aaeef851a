-- The board of all critical queries: latest verdict, part of the budget used, open breaches.
-- budget: p95 100ms
-- weight: 2
-- mode: read
-- rows: >=1
SELECT s.business_id, s.query_code, s.title, s.condition, s.limit_p95_ms, s.p95_ms, s.ratio,
       s.verdict, s.measured_at, s.open_breaches
FROM (
    SELECT q.business_id, q.critical_query_id, q.query_code, q.title, b.query_budget_id, b.condition,
           b.p95_ms AS limit_p95_ms, b.gate, m.measured_at, m.sample_count, m.p95_ms, m.verdict,
           round(m.p95_ms / b.p95_ms, 4) AS ratio,
           (SELECT count(*) FROM observability.budget_breach AS x
            WHERE x.business_id = %(business_id)s AND x.query_budget_id = b.query_budget_id
              AND x.status IN ('open', 'confirmed', 'flaky')) AS open_breaches
    FROM observability.critical_query AS q
    JOIN observability.query_budget AS b
        ON b.business_id = %(business_id)s AND b.critical_query_id = q.critical_query_id
       AND b.effective_from <= current_date
       AND (b.effective_until IS NULL OR b.effective_until > current_date)
    LEFT JOIN LATERAL (
        SELECT x.measured_at, x.sample_count, x.p95_ms, x.verdict
        FROM observability.budget_measurement AS x
        WHERE x.business_id = %(business_id)s AND x.critical_query_id = q.critical_query_id
          AND x.query_budget_id = b.query_budget_id
        ORDER BY x.measured_at DESC
        LIMIT 1
    ) AS m ON true
    WHERE q.status = 'active'
) AS s
WHERE s.business_id = %(business_id)s
ORDER BY s.open_breaches DESC, s.ratio DESC NULLS LAST
LIMIT 100
