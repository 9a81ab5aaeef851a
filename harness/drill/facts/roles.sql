SELECT r.rolname::text,
       concat_ws(' ', CASE WHEN r.rolsuper THEN 'superuser' END,
                 CASE WHEN r.rolbypassrls THEN 'bypassrls' END,
                 CASE WHEN r.rolcanlogin THEN 'login' END,
                 CASE WHEN r.rolcreaterole THEN 'createrole' END,
                 CASE WHEN r.rolreplication THEN 'replication' END,
                 'in', ARRAY(SELECT concat(pg_get_userbyid(m.roleid),
                                           CASE WHEN m.inherit_option THEN '+inherit' END,
                                           CASE WHEN m.set_option THEN '+set' END,
                                           CASE WHEN m.admin_option THEN '+admin' END)
                             FROM pg_auth_members AS m WHERE m.member = r.oid ORDER BY 1))
FROM pg_roles AS r
WHERE r.rolname !~ '^pg_'
