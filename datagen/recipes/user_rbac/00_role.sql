-- The tree: staff < lead < manager < owner, and beside it the trades.
INSERT INTO user_rbac.role_hierarchy
    (business_id, role_hierarchy_id, senior_role_id, junior_role_id, inherits, source, added_at,
     created_at)
SELECT s.business_id, md5(s.role_id || ' over ' || j.role_id)::uuid, s.role_id, j.role_id,
       edge.inherits, CASE s.kind WHEN 'system' THEN 'template' ELSE 'admin' END, s.created_at,
       s.created_at
FROM (VALUES ('owner', 'manager', 'all'), ('manager', 'team_lead', 'all'),
             ('team_lead', 'staff', 'all'), ('accountant', 'bookkeeper', 'all'),
             ('bookkeeper', 'staff', 'all'), ('cashier', 'staff', 'all'),
             ('refund_approver', 'staff', 'all'), ('purchaser', 'staff', 'all'),
             ('payroll_clerk', 'staff', 'all'), ('payroll_approver', 'staff', 'all'),
             ('trainer', 'staff', 'all'), ('administrator', 'staff', 'all'),
             ('auditor', 'manager', 'read_only')) AS edge (senior, junior, inherits)
JOIN user_rbac.role AS s ON s.business_id = %(business_id)s AND s.code = edge.senior
JOIN user_rbac.role AS j ON j.business_id = %(business_id)s AND j.code = edge.junior;

-- What each role grants by itself, beside what it inherits.
INSERT INTO user_rbac.role_permission
    (business_id, role_permission_id, role_id, permission_id, access_condition_id, effect,
     row_scope, field_mask, amount_limit, source, granted_at, created_at)
SELECT r.business_id, md5(r.role_id || ' ' || p.permission_id)::uuid, r.role_id,
       p.permission_id,
       CASE WHEN p.action = 'export' THEN managed.access_condition_id
            WHEN p.action IN ('void', 'refund') AND r.code <> 'owner'
                THEN office.access_condition_id END,
       CASE WHEN r.code = 'auditor' AND p.action <> 'read' THEN 'deny' ELSE 'allow' END,
       CASE WHEN NOT p.is_scopable OR r.code IN ('auditor', 'owner', 'administrator')
                THEN 'business'
            WHEN r.code = 'staff' THEN 'own' WHEN r.code = 'team_lead' THEN 'team'
            WHEN r.code = 'trainer' THEN 'assigned' WHEN r.code = 'integration' THEN 'business'
            ELSE 'location' END,
       CASE WHEN r.code = 'staff' AND p.resource IN ('employee', 'customer')
                THEN ARRAY['birth_date', 'tax_number'] ELSE '{}' END,
       CASE WHEN p.action IN ('refund', 'void', 'approve') AND r.code <> 'auditor'
                THEN CASE r.code WHEN 'owner' THEN NULL WHEN 'manager' THEN 5000
                                 WHEN 'team_lead' THEN 500 ELSE 2000 END END,
       CASE r.kind WHEN 'system' THEN 'template' ELSE 'admin' END, r.created_at, r.created_at
FROM user_rbac.role AS r
JOIN user_rbac.permission AS p
    ON p.business_id = r.business_id AND NOT p.is_deprecated
    AND CASE r.code
        WHEN 'staff' THEN p.action IN ('read', 'create', 'print')
            AND p.resource IN ('customer', 'job', 'order', 'product', 'schedule', 'vehicle',
                               'document', 'course', 'stock')
        WHEN 'team_lead' THEN p.action IN ('read', 'update', 'assign', 'approve')
            AND p.resource NOT IN ('role', 'setting', 'payroll_run', 'payment')
        WHEN 'cashier' THEN p.action IN ('read', 'create', 'print', 'void')
            AND p.resource IN ('payment', 'invoice', 'order')
        WHEN 'bookkeeper' THEN p.action IN ('read', 'create', 'update', 'print')
            AND p.resource IN ('invoice', 'payment', 'document', 'report', 'supplier')
        WHEN 'purchaser' THEN p.action IN ('read', 'create', 'update')
            AND p.resource IN ('supplier', 'stock', 'product')
        WHEN 'payroll_clerk' THEN p.action IN ('read', 'create', 'update', 'print')
            AND p.resource IN ('payroll_run', 'employee')
        WHEN 'trainer' THEN p.resource = 'course' AND p.action NOT IN ('impersonate', 'delete')
        WHEN 'refund_approver' THEN p.action IN ('refund', 'approve', 'void')
            AND p.resource IN ('payment', 'order', 'invoice')
        WHEN 'manager' THEN p.action NOT IN ('impersonate', 'configure', 'refund')
            AND p.resource NOT IN ('role', 'setting', 'payroll_run')
        WHEN 'accountant' THEN p.action IN ('read', 'approve', 'export', 'void')
            AND p.resource IN ('invoice', 'payment', 'report', 'supplier')
        WHEN 'auditor' THEN p.action = 'read' OR p.resource IN ('payment', 'payroll_run')
        WHEN 'payroll_approver' THEN p.action IN ('read', 'approve', 'export')
            AND p.resource = 'payroll_run'
        WHEN 'administrator' THEN p.resource IN ('role', 'setting', 'employee', 'schedule')
            OR p.action = 'configure'
        WHEN 'owner' THEN p.action <> 'impersonate'
        ELSE p.action IN ('read', 'create', 'update')
            AND p.resource IN ('customer', 'order', 'product', 'stock') END
LEFT JOIN user_rbac.access_condition AS managed
    ON managed.business_id = r.business_id AND managed.code = 'managed_device'
LEFT JOIN user_rbac.access_condition AS office
    ON office.business_id = r.business_id AND office.code = 'strong_session'
WHERE r.business_id = %(business_id)s;
