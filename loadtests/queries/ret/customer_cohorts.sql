-- The owner opens the cohorts: of those who first bought in a month, how many still come.
-- budget: p95 300ms
-- weight: 1
-- mode: read
-- rows: >=1
SELECT c.business_id, c.cohort_month, c.months_since, c.customers, c.active_customers, c.orders,
       c.revenue, c.retention_pct,
       sum(c.revenue) OVER (PARTITION BY c.cohort_month ORDER BY c.months_since) AS revenue_so_far
FROM ret.v_customer_cohort AS c
WHERE c.business_id = %(business_id)s
ORDER BY c.cohort_month DESC, c.months_since
LIMIT 200
