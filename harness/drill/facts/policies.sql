SELECT format('%s.%s: %s', n.nspname, c.relname, p.polname),
       concat_ws(' ', CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END,
                 'for', p.polcmd, 'to',
                 ARRAY(SELECT CASE u.role WHEN 0 THEN 'public' ELSE pg_get_userbyid(u.role) END
                       FROM unnest(p.polroles) AS u (role) ORDER BY 1)),
       pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
FROM pg_policy AS p
JOIN pg_class AS c ON c.oid = p.polrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
