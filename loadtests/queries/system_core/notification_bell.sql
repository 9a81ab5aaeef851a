-- The bell: unread count and the ten newest messages of the signed-in user, on every page load.
-- budget: p95 30ms
-- weight: 10
-- mode: read
-- rows: >=1
-- params: recipient_user_account_id from system_core.notification where read_at IS NULL AND state = 'delivered'
SELECT n.business_id, n.notification_id, n.subject, n.priority, n.action_url, n.scheduled_for,
       unread.unread_count
FROM (
    SELECT count(*) AS unread_count
    FROM system_core.notification AS u
    WHERE u.business_id = %(business_id)s
        AND u.recipient_user_account_id = %(recipient_user_account_id)s
        AND u.read_at IS NULL AND u.state IN ('dispatched', 'delivered')
) AS unread
CROSS JOIN system_core.notification AS n
WHERE n.business_id = %(business_id)s
    AND n.recipient_user_account_id = %(recipient_user_account_id)s
    AND n.read_at IS NULL AND n.state IN ('dispatched', 'delivered')
ORDER BY n.scheduled_for DESC
LIMIT 10
