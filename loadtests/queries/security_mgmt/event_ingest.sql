-- A source sends a batch of 100 normalized events; the trigger keeps the source's freshness.
-- budget: p95 40ms
-- weight: 6
-- mode: write
-- rows: >=100
-- params: log_source_id from security_mgmt.log_source where is_enabled
-- params: actor_id=user_account_id from user_mgmt.user_account
-- values: host_no = random_int(1, 254)
-- values: class = choice('authentication', 'api_activity', 'data_access', 'network')
INSERT INTO security_mgmt.security_event (
    business_id, log_source_id, actor_user_account_id, class, activity, outcome, severity, src_ip,
    correlation_key, raw, occurred_at)
SELECT %(business_id)s::uuid, %(log_source_id)s::uuid,
       CASE WHEN n % 3 > 0 THEN %(actor_id)s::uuid END, %(class)s::text, 'observed',
       CASE WHEN n % 9 = 0 THEN 'failure' ELSE 'success' END,
       CASE WHEN n % 25 = 0 THEN 'low' ELSE 'info' END,
       ('198.51.100.' || %(host_no)s)::inet, 'ip:198.51.100.' || %(host_no)s,
       jsonb_build_object('sequence', n, 'rows', n * 3), now() - n * interval '50 milliseconds'
FROM generate_series(1, 100) AS n
RETURNING business_id, security_event_id
