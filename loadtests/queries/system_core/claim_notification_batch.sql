-- A delivery worker takes due messages of people who can be written to, skipping those that
-- another worker holds.
-- budget: p95 60ms
-- weight: 1
-- mode: write
-- rows: >=0
WITH due AS (
    SELECT n.notification_id
    FROM system_core.notification AS n
    WHERE n.business_id = %(business_id)s
        AND n.state = 'pending'
        AND n.scheduled_for <= now()
        AND (n.expires_at IS NULL OR n.expires_at > now())
        AND NOT EXISTS (
            SELECT FROM system_core.notification_preference AS p
            JOIN system_core.notification_template AS t
                ON t.business_id = p.business_id
                AND t.notification_category_id = p.notification_category_id
            WHERE p.business_id = n.business_id
                AND p.user_account_id = n.recipient_user_account_id
                AND p.channel = 'email' AND NOT p.is_opted_in
                AND t.notification_template_id = n.notification_template_id)
        AND NOT EXISTS (
            SELECT FROM system_core.notification_endpoint AS e
            JOIN system_core.notification_suppression AS s
                ON s.business_id = e.business_id AND s.channel = e.channel
                AND s.address_hash = e.address_hash AND s.lifted_at IS NULL
            WHERE e.business_id = n.business_id
                AND e.user_account_id = n.recipient_user_account_id
                AND e.channel = 'email' AND e.is_primary)
    ORDER BY n.scheduled_for
    LIMIT 100
    FOR UPDATE OF n SKIP LOCKED
)
UPDATE system_core.notification AS n
SET state = 'dispatched'
FROM due
WHERE n.business_id = %(business_id)s
    AND n.notification_id = due.notification_id
RETURNING n.business_id, n.notification_id, n.recipient_user_account_id, n.subject
