-- Privileges on schemas, functions and sequences that somebody granted: neither the owner's nor
-- those with which a database begins. A function that was never granted is executable by PUBLIC.
WITH held AS (
    SELECT 'schema' AS kind, n.nspname::text AS object, n.nspowner AS owner,
           n.nspacl AS acl, i.initprivs AS initial
    FROM pg_namespace AS n
    LEFT JOIN pg_init_privs AS i
        ON i.classoid = 'pg_namespace'::regclass AND i.objoid = n.oid AND i.objsubid = 0
    WHERE n.nspname = ANY (%(schemas)s)
    UNION ALL
    SELECT 'function',
           format('%%s.%%s(%%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
           p.proowner, coalesce(p.proacl, acldefault('f', p.proowner)), NULL
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = ANY (%(schemas)s)
      AND NOT EXISTS (SELECT FROM pg_depend AS d
                      WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                        AND d.deptype = 'e')
    UNION ALL
    SELECT 'sequence', format('%%s.%%s', n.nspname, c.relname), c.relowner, c.relacl, NULL
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'S' AND n.nspname = ANY (%(schemas)s)
    UNION ALL
    SELECT 'default',
           concat('every later ', CASE a.defaclobjtype WHEN 'r' THEN 'table' WHEN 'S' THEN 'sequence'
                                  WHEN 'f' THEN 'function' WHEN 'T' THEN 'type'
                                  WHEN 'n' THEN 'schema' END, ' in schema ' || n.nspname),
           a.defaclrole, a.defaclacl, acldefault(a.defaclobjtype, a.defaclrole)
    FROM pg_default_acl AS a
    LEFT JOIN pg_namespace AS n ON n.oid = a.defaclnamespace
)
SELECT h.kind, h.object, CASE g.grantee WHEN 0 THEN 'public'
                         ELSE pg_get_userbyid(g.grantee)::text END,
       array_agg(lower(g.privilege_type) ORDER BY g.privilege_type)
FROM held AS h
CROSS JOIN aclexplode(h.acl) AS g
WHERE g.grantee <> h.owner
  AND NOT EXISTS (SELECT FROM aclexplode(h.initial) AS i
                  WHERE i.grantee = g.grantee AND i.privilege_type = g.privilege_type)
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
