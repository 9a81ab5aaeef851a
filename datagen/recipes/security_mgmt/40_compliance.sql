-- What a requirement is about, and what it is a part of, as adopt_framework() has it.
SELECT tenant_mgmt.set_tenant(%(business_id)s);
UPDATE security_mgmt.framework_requirement AS r
SET title = entry.title, weight = entry.weight
FROM JSON_TABLE(security_mgmt.framework_catalog(), '$.frameworks[*]' COLUMNS (
    framework text PATH '$.code',
    NESTED PATH '$.requirements[*]' COLUMNS (
        code   text    PATH '$.code',
        title  text    PATH '$.title',
        weight numeric PATH '$.weight' DEFAULT 1 ON EMPTY
    )
)) AS entry
WHERE r.business_id = %(business_id)s
  AND r.framework_code = entry.framework AND r.reference_code = entry.code;
SELECT security_mgmt.plant_requirements(f.compliance_framework_id)
FROM security_mgmt.compliance_framework AS f
WHERE f.business_id = %(business_id)s;

-- Nobody tests a control of their own.
UPDATE security_mgmt.control_test AS t
SET tester_user_account_id = NULL
FROM security_mgmt.security_control AS c
WHERE t.business_id = %(business_id)s
  AND c.business_id = t.business_id AND c.security_control_id = t.security_control_id
  AND c.owner_user_account_id = t.tester_user_account_id;

-- What is not in place cannot have been tested.
UPDATE security_mgmt.control_test AS t
SET result = 'not_tested', sample_size = 0, exceptions_found = 0, retest_due_on = NULL
FROM security_mgmt.security_control AS c
WHERE t.business_id = %(business_id)s
  AND c.business_id = t.business_id AND c.security_control_id = t.security_control_id
  AND c.implementation IN ('planned', 'not_applicable');
