-- Privileges on everything that has some, the owner's too; the default ones where none was
-- granted.
WITH held (object, acl) AS (
    SELECT 'the database', coalesce(d.datacl, acldefault('d', d.datdba))
    FROM pg_database AS d WHERE d.datname = current_database()
    UNION ALL
    SELECT 'schema ' || n.nspname, coalesce(n.nspacl, acldefault('n', n.nspowner))
    FROM pg_namespace AS n
    UNION ALL
    SELECT format('%s.%s', n.nspname, c.relname),
           coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char",
                                         c.relowner))
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL
    SELECT format('%s.%s.%s', n.nspname, c.relname, a.attname), a.attacl
    FROM pg_attribute AS a
    JOIN pg_class AS c ON c.oid = a.attrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
    UNION ALL
    SELECT p.oid::regprocedure::text, coalesce(p.proacl, acldefault('f', p.proowner))
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    UNION ALL
    SELECT format('type %s.%s', n.nspname, t.typname), coalesce(t.typacl, acldefault('T', t.typowner))
    FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace
    WHERE t.typtype IN ('d', 'e', 'r')
    UNION ALL
    SELECT format('default %s of %s %s', a.defaclobjtype, pg_get_userbyid(a.defaclrole),
                  n.nspname),
           a.defaclacl
    FROM pg_default_acl AS a LEFT JOIN pg_namespace AS n ON n.oid = a.defaclnamespace
)
SELECT h.object,
       array_to_string(ARRAY(
           SELECT concat(CASE g.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(g.grantee) END,
                         '=', lower(g.privilege_type), CASE WHEN g.is_grantable THEN '*' END,
                         '/', pg_get_userbyid(g.grantor))
           FROM aclexplode(h.acl) AS g
           ORDER BY 1), ' ')
FROM held AS h
WHERE h.object !~ '^(schema |type )?(pg_|information_schema)'
