-- The security page: where am I signed in?
-- budget: p95 40ms
-- weight: 2
-- mode: read
-- rows: >=1
-- params: user_account_id from user_auth.user_session where state = 'active'
SELECT s.business_id,
       s.user_session_id,
       s.client_kind,
       s.assurance_level,
       s.state,
       s.ip_address,
       s.country_code,
       s.city,
       s.started_at,
       s.last_activity_at,
       d.friendly_name AS device_name,
       d.device_kind,
       d.trust         AS device_trust
FROM user_auth.user_session AS s
LEFT JOIN user_auth.user_device AS d
    ON d.business_id = s.business_id AND d.user_device_id = s.user_device_id
WHERE s.business_id = %(business_id)s
  AND s.user_account_id = %(user_account_id)s
  AND s.state IN ('active', 'stepped_down')
ORDER BY s.last_activity_at DESC;
