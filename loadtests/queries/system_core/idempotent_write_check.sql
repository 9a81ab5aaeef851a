-- First step of every POST: claim the key, or learn what the first request answered.
-- budget: p95 15ms
-- weight: 10
-- mode: write
-- rows: >=1
-- values: key = text('req-')
-- values: route = choice('/v1/invoices', '/v1/payments', '/v1/customers')
WITH claim AS (
    INSERT INTO system_core.idempotency_key (business_id, key_hash, route, request_hash)
    VALUES (%(business_id)s, sha256(convert_to(%(key)s, 'UTF8')), %(route)s,
            sha256(convert_to(%(key)s, 'UTF8')))
    ON CONFLICT (business_id, key_hash, route) DO NOTHING
    RETURNING business_id, state, request_hash, response_status, response_body
)
SELECT c.*
FROM claim AS c
UNION ALL
SELECT k.business_id, k.state, k.request_hash, k.response_status, k.response_body
FROM system_core.idempotency_key AS k
WHERE k.business_id = %(business_id)s
  AND k.key_hash = sha256(convert_to(%(key)s, 'UTF8'))
  AND k.route = %(route)s
