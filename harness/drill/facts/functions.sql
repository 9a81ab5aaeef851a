SELECT p.oid::regprocedure::text,
       concat_ws(' ', p.prokind, l.lanname, p.provolatile,
                 CASE WHEN p.prosecdef THEN 'security definer' END,
                 CASE WHEN p.proleakproof THEN 'leakproof' END, md5(p.prosrc))
FROM pg_proc AS p
JOIN pg_language AS l ON l.oid = p.prolang
JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
