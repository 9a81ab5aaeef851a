-- Account health page: the 90-day trend with the newest signals and what is being done.
-- budget: p95 150ms
-- weight: 1
-- mode: read
-- rows: >=1
SELECT h.business_id, h.score_date, h.score, h.band, h.delta_7d, h.churn_probability,
       signals.newest, tasks.open_count
FROM tenant_mgmt.health_score AS h
CROSS JOIN (
    SELECT jsonb_agg(jsonb_build_object('signal', s.signal_code,
                                        'score', s.normalized_score)) AS newest
    FROM (
        SELECT DISTINCT ON (g.signal_code) g.signal_code, g.normalized_score
        FROM tenant_mgmt.health_signal AS g
        WHERE g.business_id = %(business_id)s
        ORDER BY g.signal_code, g.signal_date DESC
    ) AS s
) AS signals
CROSS JOIN (
    SELECT count(*) AS open_count
    FROM tenant_mgmt.success_task AS t
    WHERE t.business_id = %(business_id)s AND t.state IN ('open', 'in_progress')
) AS tasks
WHERE h.business_id = %(business_id)s
    AND h.score_date >= current_date - 90
ORDER BY h.score_date
