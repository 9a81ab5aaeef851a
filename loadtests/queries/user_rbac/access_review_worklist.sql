-- A reviewer's open items, the most urgent review and the riskiest roles first.
-- budget: p95 100ms
-- weight: 2
-- mode: read
-- rows: >=1
-- params: reviewer_user_account_id from user_rbac.access_review_item where decision = 'pending'
SELECT i.business_id,
       i.access_review_item_id,
       w.name                                 AS review_name,
       w.due_at,
       r.code                                 AS role_code,
       r.risk_tier,
       coalesce(u.display_name, s.name)       AS holder_name,
       a.scope_kind,
       a.scope_entity_id,
       a.valid_until,
       a.last_used_at,
       i.peer_usage_pct,
       i.recommendation
FROM user_rbac.access_review_item AS i
JOIN user_rbac.access_review AS w
    ON w.business_id = i.business_id AND w.access_review_id = i.access_review_id
JOIN user_rbac.role_assignment AS a
    ON a.business_id = i.business_id AND a.role_assignment_id = i.role_assignment_id
JOIN user_rbac.role AS r
    ON r.business_id = a.business_id AND r.role_id = a.role_id
LEFT JOIN user_mgmt.user_account AS u
    ON u.business_id = a.business_id AND u.user_account_id = a.user_account_id
LEFT JOIN user_mgmt.service_account AS s
    ON s.business_id = a.business_id AND s.service_account_id = a.service_account_id
WHERE i.business_id = %(business_id)s
  AND i.reviewer_user_account_id = %(reviewer_user_account_id)s
  AND i.decision = 'pending'
ORDER BY w.due_at,
         array_position(ARRAY['critical', 'high', 'medium', 'low'], r.risk_tier),
         i.access_review_item_id
LIMIT 50;
