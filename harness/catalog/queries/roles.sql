-- Roles of the cluster, and for each the roles that it is in at first hand.
SELECT r.rolname, r.rolsuper, r.rolbypassrls, r.rolcanlogin,
       ARRAY(SELECT g.rolname::text FROM pg_auth_members AS m
             JOIN pg_roles AS g ON g.oid = m.roleid
             WHERE m.member = r.oid ORDER BY m.oid),
       ARRAY(SELECT m.inherit_option FROM pg_auth_members AS m
             JOIN pg_roles AS g ON g.oid = m.roleid
             WHERE m.member = r.oid ORDER BY m.oid),
       ARRAY(SELECT m.set_option FROM pg_auth_members AS m
             JOIN pg_roles AS g ON g.oid = m.roleid
             WHERE m.member = r.oid ORDER BY m.oid)
FROM pg_roles AS r
ORDER BY r.oid
