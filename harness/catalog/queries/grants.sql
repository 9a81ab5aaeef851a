-- Privileges on relations and on columns of them, without those of the owner.
SELECT n.nspname, c.relname,
       CASE g.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(g.grantee)::text END,
       array_agg(DISTINCT lower(g.privilege_type)), ARRAY[]::text[]
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN aclexplode(c.relacl) AS g
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname = ANY (%(schemas)s)
  AND g.grantee <> c.relowner
GROUP BY 1, 2, 3
UNION ALL
SELECT n.nspname, c.relname,
       CASE g.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(g.grantee)::text END,
       array_agg(DISTINCT lower(g.privilege_type)), ARRAY[a.attname::text]
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN aclexplode(a.attacl) AS g
WHERE NOT a.attisdropped AND n.nspname = ANY (%(schemas)s) AND g.grantee <> c.relowner
GROUP BY 1, 2, 3, 5
ORDER BY 1, 2, 3, 5
