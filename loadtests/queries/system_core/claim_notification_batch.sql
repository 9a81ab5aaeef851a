-- A delivery worker takes due messages of people who can be written to, skipping those that
-- another worker holds: a quarter of what waits and at most 100, so that others find some, too.
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
    LIMIT (
        SELECT ceil(count(*) / 4.0)::bigint
        FROM (
            SELECT FROM system_core.notification AS w
            WHERE w.business_id = %(business_id)s
                AND w.state = 'pending'
                AND w.scheduled_for <= now()
                AND (w.expires_at IS NULL OR w.expires_at > now())
            LIMIT 400
        ) AS waiting
    )
    FOR UPDATE OF n SKIP LOCKED
)
UPDATE system_core.notification AS n
SET state = 'dispatched'
FROM due
WHERE n.business_id = %(business_id)s
    AND n.notification_id = due.notification_id
RETURNING n.business_id, n.notification_id, n.recipient_user_account_id, n.subject
