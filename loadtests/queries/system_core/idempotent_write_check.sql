-- First step of every POST: claim the key, or learn what the first request answered.
-- budget: p95 15ms
-- weight: 10
-- mode: write
-- rows: >=1
-- values: key = text('req-')
-- values: route = choice('/v1/invoices', '/v1/payments', '/v1/customers')
WITH request AS (
    SELECT %(business_id)s::uuid AS business_id, %(route)s AS route,
           sha256(convert_to(%(key)s, 'UTF8')) AS key_hash
), claim AS (
    INSERT INTO system_core.idempotency_key (business_id, key_hash, route, request_hash)
    SELECT r.business_id, r.key_hash, r.route, r.key_hash
    FROM request AS r
    ON CONFLICT (business_id, key_hash, route) DO NOTHING
    RETURNING business_id, state, request_hash, response_status, response_body
)
SELECT c.*
FROM claim AS c
UNION ALL
SELECT k.business_id, k.state, k.request_hash, k.response_status, k.response_body
FROM request AS r
JOIN system_core.idempotency_key AS k
  ON (k.business_id, k.key_hash, k.route) = (r.business_id, r.key_hash, r.route)
WHERE k.business_id = %(business_id)s
