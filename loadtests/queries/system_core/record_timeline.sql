-- The activity tab of any record: the newest 50 of its actions, comments and files.
-- budget: p95 80ms
-- weight: 8
-- mode: read
-- rows: >=1
-- params: entity_type_id, entity_id from system_core.activity_event
(
    SELECT a.business_id, a.occurred_at, 'activity' AS item_kind, a.activity_event_id AS item_id,
           a.actor_user_account_id, a.action AS summary
    FROM system_core.activity_event AS a
    WHERE a.business_id = %(business_id)s
        AND a.entity_type_id = %(entity_type_id)s AND a.entity_id = %(entity_id)s
    ORDER BY a.occurred_at DESC
    LIMIT 50
)
UNION ALL
(
    SELECT c.business_id, c.created_at, 'comment', c.comment_id,
           c.author_user_account_id, left(c.body_markdown, 500)
    FROM system_core.comment AS c
    WHERE c.business_id = %(business_id)s
        AND c.entity_type_id = %(entity_type_id)s AND c.entity_id = %(entity_id)s
        AND c.deleted_at IS NULL AND c.visibility <> 'restricted'
    ORDER BY c.created_at DESC
    LIMIT 50
)
UNION ALL
(
    SELECT f.business_id, f.created_at, 'file', f.file_attachment_id, f.attached_by, f.caption
    FROM system_core.file_attachment AS f
    WHERE f.business_id = %(business_id)s
        AND f.entity_type_id = %(entity_type_id)s AND f.entity_id = %(entity_id)s
    ORDER BY f.created_at DESC
    LIMIT 50
)
ORDER BY occurred_at DESC
LIMIT 50
