-- One tree: what has no parent hangs below the company.
UPDATE user_mgmt.org_unit AS u
SET parent_org_unit_id = (SELECT r.org_unit_id FROM user_mgmt.org_unit AS r
                          WHERE r.business_id = %(business_id)s
                          ORDER BY r.org_unit_id LIMIT 1)
WHERE u.business_id = %(business_id)s
    AND u.parent_org_unit_id IS NULL
    AND u.org_unit_id > (SELECT min(r.org_unit_id::text)::uuid FROM user_mgmt.org_unit AS r
                         WHERE r.business_id = %(business_id)s);

-- Customers belong to no unit, and nobody manages them.
DELETE FROM user_mgmt.org_unit_member AS m
USING user_mgmt.user_account AS a
WHERE m.business_id = %(business_id)s
    AND a.business_id = m.business_id AND a.user_account_id = m.user_account_id
    AND a.account_kind = 'customer';
UPDATE user_mgmt.user_profile AS p
SET manager_user_account_id = NULL
FROM user_mgmt.user_account AS a
WHERE p.business_id = %(business_id)s
    AND a.business_id = p.business_id AND a.user_account_id = p.user_account_id
    AND a.account_kind = 'customer';

-- A unit is led by the active member of staff who belongs to it longest, who manages the others.
UPDATE user_mgmt.org_unit AS u
SET lead_user_account_id = (
    SELECT m.user_account_id
    FROM user_mgmt.org_unit_member AS m
    JOIN user_mgmt.user_account AS a
        ON a.business_id = m.business_id AND a.user_account_id = m.user_account_id
    WHERE m.business_id = %(business_id)s AND m.org_unit_id = u.org_unit_id
        AND m.membership_kind = 'primary' AND a.status = 'active' AND a.account_kind = 'staff'
    ORDER BY m.valid_from, m.user_account_id
    LIMIT 1)
WHERE u.business_id = %(business_id)s;
UPDATE user_mgmt.user_profile AS p
SET manager_user_account_id = nullif(u.lead_user_account_id, p.user_account_id)
FROM user_mgmt.org_unit_member AS m
JOIN user_mgmt.org_unit AS u
    ON u.business_id = m.business_id AND u.org_unit_id = m.org_unit_id
WHERE p.business_id = %(business_id)s
    AND m.business_id = p.business_id AND m.user_account_id = p.user_account_id
    AND m.membership_kind = 'primary';

-- Service accounts are answered for by active staff, as far as there is any.
UPDATE user_mgmt.service_account AS s
SET owner_user_account_id = o.user_account_id, status = 'active'
FROM (SELECT a.user_account_id FROM user_mgmt.user_account AS a
      WHERE a.business_id = %(business_id)s AND a.status = 'active' AND a.account_kind = 'staff'
      ORDER BY a.user_account_id LIMIT 1) AS o
WHERE s.business_id = %(business_id)s AND s.status = 'disabled';
