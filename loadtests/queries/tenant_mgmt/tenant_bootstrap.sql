-- The first call after sign-in: what the tenant behind a host is, and what it has switched on.
-- budget: p95 40ms
-- weight: 10
-- mode: read
-- rows: >=1
-- params: host_name from tenant_mgmt.business_domain
SELECT b.business_id,
       b.display_name,
       b.status,
       b.industry,
       b.currency_code,
       b.time_zone,
       b.locale,
       d.is_primary,
       d.redirect_to_host,
       p.isolation_tier,
       p.data_region,
       p.statement_timeout_ms,
       module.enabled
FROM tenant_mgmt.business_domain AS d
JOIN tenant_mgmt.business AS b ON b.business_id = %(business_id)s
LEFT JOIN tenant_mgmt.isolation_policy AS p ON p.business_id = %(business_id)s
LEFT JOIN LATERAL (
    SELECT jsonb_agg(
               jsonb_build_object('code', m.module_code, 'state', m.state,
                                  'seat_limit', m.seat_limit, 'settings', m.settings)
               ORDER BY m.module_code) AS enabled
    FROM tenant_mgmt.business_module AS m
    WHERE m.business_id = %(business_id)s AND m.state <> 'disabled'
) AS module ON true
WHERE d.business_id = %(business_id)s
  AND d.host_name = %(host_name)s;
