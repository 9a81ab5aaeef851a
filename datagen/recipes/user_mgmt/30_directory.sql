-- Those who left have their seven tasks; where nobody left, tasks are of those about to leave.
DELETE FROM user_mgmt.offboarding_task AS t
WHERE t.business_id = %(business_id)s
    AND EXISTS (SELECT FROM user_mgmt.user_account AS a
                WHERE a.business_id = %(business_id)s AND a.status = 'deactivated'
                    AND a.account_kind IN ('staff', 'contractor'));
INSERT INTO user_mgmt.offboarding_task
    (business_id, offboarding_task_id, leaver_user_account_id, assigned_to_user_account_id,
     task_code, state, sequence_no, is_automatic, result, due_at, completed_at)
SELECT a.business_id, md5(a.user_account_id || t.task_code)::uuid, a.user_account_id,
       CASE WHEN t.sequence_no > 2 THEN p.manager_user_account_id END, t.task_code, 'done',
       t.sequence_no, t.sequence_no <= 2,
       CASE t.sequence_no WHEN 1 THEN '2 sessions ended' WHEN 2 THEN '0 personal keys revoked' END,
       a.deactivated_at + t.sequence_no * interval '1 day',
       a.deactivated_at + (t.sequence_no - 1) * interval '20 hours'
FROM user_mgmt.user_account AS a
LEFT JOIN user_mgmt.user_profile AS p
    ON p.business_id = a.business_id AND p.user_account_id = a.user_account_id
CROSS JOIN (VALUES ('revoke_sessions', 1), ('revoke_keys', 2), ('remove_roles', 3),
                   ('mailbox_delegation', 4), ('transfer_records', 5), ('return_equipment', 6),
                   ('final_review', 7)) AS t (task_code, sequence_no)
WHERE a.business_id = %(business_id)s AND a.status = 'deactivated'
    AND a.account_kind IN ('staff', 'contractor');

-- The account that an accepted invitation led to is of the same person, and younger.
UPDATE user_mgmt.user_invitation AS i
SET accepted_user_account_id = NULL
WHERE i.business_id = %(business_id)s AND i.accepted_user_account_id IS NOT NULL
    AND i.state <> 'accepted';
UPDATE user_mgmt.user_invitation AS i
SET accepted_user_account_id = (
    SELECT x.user_account_id FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s AND x.activated_at IS NOT NULL
    ORDER BY x.user_account_id LIMIT 1)
FROM user_mgmt.user_account AS a
WHERE i.business_id = %(business_id)s AND i.state = 'accepted'
    AND a.business_id = i.business_id AND a.user_account_id = i.accepted_user_account_id
    AND a.activated_at IS NULL;
UPDATE user_mgmt.user_invitation AS i
SET email_normalized = a.email_normalized,
    sent_at = a.activated_at - interval '2 days', last_sent_at = NULL,
    expires_at = a.activated_at + interval '12 days',
    accepted_at = a.activated_at - interval '1 hour'
FROM user_mgmt.user_account AS a
WHERE i.business_id = %(business_id)s AND i.state = 'accepted'
    AND a.business_id = i.business_id AND a.user_account_id = i.accepted_user_account_id
    AND a.activated_at IS NOT NULL;

-- One in a hundred was erased long ago.
INSERT INTO user_mgmt.user_account
    (business_id, user_account_id, username, email, display_name, account_kind, status, locale,
     time_zone, activated_at, deactivated_at, created_at, updated_at)
SELECT a.business_id, md5('erased' || a.user_account_id)::uuid, 'erased', 'erased@example.com',
       'erased', a.account_kind, 'anonymized', a.locale, a.time_zone,
       a.activated_at - interval '100 days', a.activated_at - interval '50 days',
       a.activated_at - interval '102 days', a.activated_at - interval '20 days'
FROM (SELECT x.*, row_number() OVER (ORDER BY x.user_account_id) AS place
      FROM user_mgmt.user_account AS x
      WHERE x.business_id = %(business_id)s AND x.activated_at IS NOT NULL) AS a
WHERE a.place %% 100 = 20;
INSERT INTO user_mgmt.user_lifecycle_event
    (business_id, user_lifecycle_event_id, user_account_id, event_kind, from_status, to_status,
     reason, source, occurred_at, created_at)
SELECT a.business_id, md5(e.event_kind || a.user_account_id)::uuid, a.user_account_id,
       e.event_kind, e.from_status, e.to_status, e.reason, 'policy', e.occurred_at, e.occurred_at
FROM user_mgmt.user_account AS a
CROSS JOIN LATERAL (VALUES
    ('invited', NULL, 'invited', NULL, a.created_at),
    ('activated', 'invited', 'active', NULL, a.activated_at),
    ('deactivated', 'active', 'deactivated', 'left the company', a.deactivated_at),
    ('anonymized', 'deactivated', 'anonymized', 'erasure', a.updated_at)
) AS e (event_kind, from_status, to_status, reason, occurred_at)
WHERE a.business_id = %(business_id)s AND a.status = 'anonymized';
