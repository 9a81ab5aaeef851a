SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- Two dozen sign-ins of each account were scored since it was activated; each score knows the one
-- before it.
INSERT INTO user_analytics.risk_score
    (business_id, risk_score_id, user_account_id, risk_policy_id, score, previous_score, factors,
     trigger_kind, scored_at, created_at, expires_at)
SELECT s.business_id, md5(concat('score ', s.number, s.user_account_id))::uuid, s.user_account_id,
       p.risk_policy_id, s.score,
       lag(s.score) OVER (PARTITION BY s.user_account_id ORDER BY s.number),
       jsonb_build_array(jsonb_build_object(
           'factor', (ARRAY['new_device', 'unusual_hour', 'deviation'])[1 + s.place %% 3],
           'points', s.score, 'evidence', jsonb_build_object('sessions', 2 + s.place %% 50))),
       CASE WHEN s.place %% 100 < 90 THEN 'sign_in' WHEN s.place %% 100 < 95 THEN 'anomaly'
            WHEN s.place %% 100 < 98 THEN 'watchlist' ELSE 'decay' END,
       s.moment, s.moment,
       s.moment + CASE WHEN s.score >= 60 THEN interval '720 hours' ELSE interval '24 hours' END
FROM (
    SELECT a.business_id, a.user_account_id, n.number, h.place,
           a.activated_at + (coalesce(a.deactivated_at, %(as_of)s::timestamptz) - a.activated_at)
                            * ((n.number - 0.5 + h.place %% 97 / 200.0) / 24)::double precision
               AS moment,
           CASE WHEN h.place %% 66 = 3 THEN 60 + h.place %% 39
                ELSE round(power(h.place / 1000.0, 3) * 44, 2) END AS score
    FROM user_mgmt.user_account AS a
    CROSS JOIN generate_series(1, 24) AS n (number)
    CROSS JOIN LATERAL (
        SELECT abs(hashtextextended(concat('score ', n.number, a.user_account_id), 0)
                   %% 1000)::integer AS place
    ) AS h
    WHERE a.business_id = %(business_id)s AND a.activated_at IS NOT NULL
) AS s
CROSS JOIN (
    SELECT x.risk_policy_id
    FROM user_analytics.risk_policy AS x
    WHERE x.business_id = %(business_id)s AND x.applies_to = 'sign_in' AND NOT x.shadow_mode
    ORDER BY x.risk_policy_id
    LIMIT 1
) AS p
ORDER BY s.user_account_id, s.number;
