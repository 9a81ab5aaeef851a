SELECT tenant_mgmt.set_tenant(%(business_id)s);
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
