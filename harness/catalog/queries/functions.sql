SELECT n.nspname, p.proname,
       format('%%s(%%s)', p.proname, pg_get_function_identity_arguments(p.oid)),
       l.lanname, pg_get_function_result(p.oid), p.prosecdef,
       CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END,
       p.proleakproof, coalesce(p.proconfig, '{}'), pg_get_userbyid(p.proowner),
       obj_description(p.oid, 'pg_proc')
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_language AS l ON l.oid = p.prolang
WHERE n.nspname = ANY (%(schemas)s)
  AND NOT EXISTS (SELECT FROM pg_depend AS d
                  WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
ORDER BY p.oid
