SELECT n.nspname, t.typname,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum AS e
             WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder)
FROM pg_type AS t
JOIN pg_namespace AS n ON n.oid = t.typnamespace
WHERE t.typtype = 'e' AND n.nspname = ANY (%(schemas)s)
ORDER BY t.oid
