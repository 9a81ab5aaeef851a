SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- What waits to go out has waited for minutes: it reached nobody, and nobody has read it.
DELETE FROM system_core.notification_delivery AS d
USING system_core.notification AS n
WHERE d.business_id = %(business_id)s AND n.business_id = %(business_id)s
  AND n.notification_id = d.notification_id AND n.state IN ('pending', 'held_quiet_hours');
UPDATE system_core.notification AS n
SET scheduled_for = %(as_of)s::timestamptz - w.place * interval '40 seconds',
    expires_at = CASE WHEN n.expires_at IS NOT NULL
                      THEN %(as_of)s::timestamptz + interval '20 days' END,
    read_at = NULL,
    acknowledged_at = NULL
FROM (
    SELECT x.notification_id, row_number() OVER (ORDER BY x.notification_id DESC) AS place
    FROM system_core.notification AS x
    WHERE x.business_id = %(business_id)s AND x.state IN ('pending', 'held_quiet_hours')
) AS w
WHERE n.business_id = %(business_id)s AND n.notification_id = w.notification_id;
-- A message goes to an address of whom it is for, where there is one for its channel.
UPDATE system_core.notification_delivery AS d
SET notification_endpoint_id = e.notification_endpoint_id
FROM system_core.notification AS n
JOIN (
    SELECT DISTINCT ON (x.user_account_id, x.channel) x.user_account_id, x.channel,
           x.notification_endpoint_id
    FROM system_core.notification_endpoint AS x
    WHERE x.business_id = %(business_id)s AND x.bounce_state = 'ok' AND x.disabled_at IS NULL
    ORDER BY x.user_account_id, x.channel, x.is_primary DESC, x.notification_endpoint_id
) AS e ON e.user_account_id = n.recipient_user_account_id
WHERE d.business_id = %(business_id)s AND n.business_id = d.business_id
  AND n.notification_id = d.notification_id AND e.channel = d.channel
  AND d.status NOT IN ('bounced', 'complained');
