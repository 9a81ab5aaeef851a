-- The passkey was right: keep the try, open the session on its device, issue its first token.
-- budget: p95 80ms
-- weight: 3
-- mode: write
-- rows: >=1
-- params: email_normalized, user_account_id from user_mgmt.user_account where status = 'active' AND NOT EXISTS (SELECT FROM user_auth.account_lockout AS l WHERE l.business_id = user_account.business_id AND l.user_account_id = user_account.user_account_id AND l.lifted_at IS NULL)
-- values: flow_key = uuid()
-- values: session_token = text()
-- values: refresh_token = text()
-- values: device_no = random_int(1, 3)
WITH attempt AS (
    SELECT user_auth.record_attempt(
               %(flow_key)s::uuid, 'passkey', 'success',
               jsonb_build_object('identifier', %(email_normalized)s::text,
                                  'ip', '203.0.113.40', 'latency_ms', 41)) AS next_step
    FROM tenant_mgmt.business AS here
    WHERE here.business_id = %(business_id)s
), opened AS (
    SELECT user_auth.open_session(
               account     => %(user_account_id)s::uuid,
               amr         => '{swk,user}',
               device_hash => sha256(convert_to('device ' || %(device_no)s::integer, 'UTF8')),
               token_hash  => sha256(convert_to(%(session_token)s::text, 'UTF8')),
               ip          => '203.0.113.40') AS user_session_id
    FROM attempt AS a
    WHERE a.next_step = 'open_session'
)
INSERT INTO user_auth.refresh_token
    (business_id, user_session_id, token_hash, family_key, scopes, expires_at)
SELECT %(business_id)s::uuid,
       o.user_session_id,
       sha256(convert_to(%(refresh_token)s::text, 'UTF8')),
       o.user_session_id,
       '{openid,profile}',
       now() + interval '12 hours'
FROM opened AS o
RETURNING business_id, user_session_id, refresh_token_id;
