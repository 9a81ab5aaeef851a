-- A device was last seen, and its owner last signed in, when the sessions say so; a session was
-- opened by a primary method that its account had enrolled.
SELECT tenant_mgmt.set_tenant(%(business_id)s);

UPDATE user_auth.user_device AS d
SET last_seen_at = greatest(d.first_seen_at, s.last_activity_at)
FROM (SELECT u.user_device_id, max(u.last_activity_at) AS last_activity_at
      FROM user_auth.user_session AS u
      WHERE u.business_id = %(business_id)s
      GROUP BY u.user_device_id) AS s
WHERE d.business_id = %(business_id)s AND d.user_device_id = s.user_device_id;

UPDATE user_mgmt.user_account AS a
SET last_login_at = greatest(a.activated_at, s.started_at)
FROM (SELECT u.user_account_id, max(u.started_at) AS started_at
      FROM user_auth.user_session AS u
      WHERE u.business_id = %(business_id)s
      GROUP BY u.user_account_id) AS s
WHERE a.business_id = %(business_id)s AND a.user_account_id = s.user_account_id;

UPDATE user_auth.user_session AS u
SET first_method_id = (
    SELECT e.auth_enrollment_id
    FROM user_auth.auth_enrollment AS e
    JOIN user_auth.auth_method_policy AS p
        ON p.business_id = e.business_id AND p.method = e.method
    WHERE e.business_id = u.business_id AND e.user_account_id = u.user_account_id
        AND e.status = 'active' AND p.usable_as IN ('primary', 'both')
        AND e.enrolled_at <= u.started_at
    ORDER BY e.is_preferred DESC, e.enrolled_at, e.auth_enrollment_id
    LIMIT 1)
WHERE u.business_id = %(business_id)s;
