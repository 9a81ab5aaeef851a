-- The tree: departments below the company, crews and teams below a department.
UPDATE user_mgmt.org_unit AS u
SET parent_org_unit_id = p.org_unit_id
FROM user_mgmt.org_unit AS p
WHERE u.business_id = %(business_id)s AND p.business_id = u.business_id
  AND u.kind = 'department' AND p.code = 'company';
UPDATE user_mgmt.org_unit AS u
SET parent_org_unit_id = p.org_unit_id
FROM user_mgmt.org_unit AS p
WHERE u.business_id = %(business_id)s AND p.business_id = u.business_id
  AND p.code = CASE u.kind WHEN 'crew' THEN 'field' WHEN 'team' THEN 'office' END;
