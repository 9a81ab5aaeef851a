-- Whose is this session token, how sure is it, and until when? Every request; one that ended
-- is told so by its state and reason.
-- budget: p95 10ms
-- weight: 30
-- mode: read
-- rows: >=1
-- params: session_token_hash from user_auth.user_session where state IN ('active', 'stepped_down')
SELECT s.business_id,
       s.user_session_id,
       s.user_account_id,
       s.user_device_id,
       s.state,
       s.end_reason,
       s.assurance_level,
       s.amr,
       a.status       AS account_status,
       a.account_kind,
       a.locale,
       a.time_zone,
       least(s.absolute_expires_at,
             s.last_activity_at + make_interval(mins => s.idle_timeout_minutes)) AS usable_until
FROM user_auth.user_session AS s
JOIN user_mgmt.user_account AS a
    ON a.business_id = s.business_id AND a.user_account_id = s.user_account_id
WHERE s.business_id = %(business_id)s
  AND s.session_token_hash = %(session_token_hash)s;
