SELECT n.nspname, c.relname, p.polname, p.polpermissive,
       CASE p.polcmd WHEN '*' THEN 'all' WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert'
                     WHEN 'w' THEN 'update' WHEN 'd' THEN 'delete' END,
       ARRAY(SELECT CASE u.role WHEN 0 THEN 'public' ELSE pg_get_userbyid(u.role)::text END
             FROM unnest(p.polroles) AS u (role)),
       pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
FROM pg_policy AS p
JOIN pg_class AS c ON c.oid = p.polrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (%(schemas)s)
ORDER BY c.oid, p.oid
