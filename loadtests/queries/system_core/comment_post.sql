-- Posting a comment that mentions two people: comment, mentions, their notifications, activity.
-- budget: p95 60ms
-- weight: 4
-- mode: write
-- rows: >=1
-- params: entity_type_id from system_core.entity_type where is_commentable
-- params: author_id=user_account_id from user_mgmt.user_account where status = 'active'
-- params: first_id=user_account_id from user_mgmt.user_account where status = 'active'
-- params: second_id=user_account_id from user_mgmt.user_account where status = 'active'
-- params: notification_template_id from system_core.notification_template
-- values: entity_id = uuid()
-- values: body = text('Please have a look, @both of you: ')
WITH posted AS (
    INSERT INTO system_core.comment
        (business_id, entity_type_id, entity_id, author_user_account_id, body_markdown)
    VALUES (%(business_id)s, %(entity_type_id)s, %(entity_id)s, %(author_id)s, %(body)s)
    RETURNING business_id, comment_id, entity_type_id, entity_id, created_at
), person AS (
    SELECT u.user_account_id, u.display_name
    FROM user_mgmt.user_account AS u
    WHERE u.business_id = %(business_id)s
        AND u.user_account_id IN (%(first_id)s, %(second_id)s)
), told AS (
    INSERT INTO system_core.notification
        (business_id, notification_template_id, recipient_user_account_id, entity_type_id,
         entity_id, subject, merge_data)
    SELECT p.business_id, %(notification_template_id)s, person.user_account_id,
           p.entity_type_id, p.entity_id, 'You were mentioned in a comment',
           jsonb_build_object('comment_id', p.comment_id)
    FROM posted AS p CROSS JOIN person
    RETURNING notification_id, recipient_user_account_id, scheduled_for
), mentioned AS (
    INSERT INTO system_core.comment_mention
        (business_id, comment_id, mentioned_user_account_id, notification_id, mention_offset,
         display_text, notified_at)
    SELECT p.business_id, p.comment_id, person.user_account_id, told.notification_id, 20,
           '@' || person.display_name, told.scheduled_for
    FROM posted AS p
    CROSS JOIN person
    JOIN told ON told.recipient_user_account_id = person.user_account_id
    RETURNING comment_mention_id
), recorded AS (
    INSERT INTO system_core.activity_event
        (business_id, entity_type_id, entity_id, actor_user_account_id, actor_kind, action,
         source, changes)
    SELECT p.business_id, p.entity_type_id, p.entity_id, %(author_id)s, 'user', 'update', 'web',
           jsonb_build_array(jsonb_build_object('column', 'comment', 'old', NULL,
                                                'new', p.comment_id))
    FROM posted AS p
    RETURNING activity_event_id
)
SELECT p.business_id, p.comment_id, p.created_at,
       (SELECT count(*) FROM mentioned) AS mention_count
FROM posted AS p
