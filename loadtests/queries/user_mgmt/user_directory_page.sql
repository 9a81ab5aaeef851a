-- The administrator pages through the people of the business: unit, manager, roles, last login.
-- budget: p95 120ms
-- weight: 2
-- mode: read
-- rows: >=1
-- values: kind = choice('any', 'any', 'staff')
-- values: after_name = choice('', '', '', 'B', 'C', 'D')
SELECT page.business_id,
       page.user_account_id,
       page.display_name,
       page.email_normalized,
       page.account_kind,
       page.status,
       page.last_login_at,
       p.job_title,
       manager.display_name AS manager_name,
       unit.name AS org_unit_name,
       held.roles
FROM (
    SELECT a.*
    FROM user_mgmt.user_account AS a
    WHERE a.business_id = %(business_id)s
      AND a.status <> 'anonymized'
      AND (%(kind)s = 'any' OR a.account_kind = %(kind)s)
      AND (a.display_name, a.user_account_id)
          > (%(after_name)s, '00000000-0000-0000-0000-000000000000'::uuid)
    ORDER BY a.display_name, a.user_account_id
    LIMIT 50
) AS page
LEFT JOIN user_mgmt.user_profile AS p
    ON p.business_id = %(business_id)s
    AND p.user_account_id = page.user_account_id
LEFT JOIN user_mgmt.user_account AS manager
    ON manager.business_id = %(business_id)s
    AND manager.user_account_id = p.manager_user_account_id
LEFT JOIN LATERAL (
    SELECT u.name
    FROM user_mgmt.org_unit_member AS m
    JOIN user_mgmt.org_unit AS u
        ON u.business_id = %(business_id)s AND u.org_unit_id = m.org_unit_id
    WHERE m.business_id = %(business_id)s
      AND m.user_account_id = page.user_account_id
      AND m.membership_kind = 'primary'
      AND m.is_active
      AND m.valid_from <= current_date
      AND (m.valid_until IS NULL OR m.valid_until > current_date)
) AS unit ON true
LEFT JOIN LATERAL (
    SELECT array_agg(DISTINCT r.name ORDER BY r.name) AS roles
    FROM user_rbac.role_assignment AS g
    JOIN user_rbac.role AS r
        ON r.business_id = %(business_id)s AND r.role_id = g.role_id
    WHERE g.business_id = %(business_id)s
      AND g.holder_id = page.user_account_id
      AND g.state = 'active'
      AND g.valid_from <= now()
      AND (g.valid_until IS NULL OR g.valid_until > now())
) AS held ON true
ORDER BY page.display_name, page.user_account_id;
