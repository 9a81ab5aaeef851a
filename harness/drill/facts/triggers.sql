SELECT format('%s.%s: %s', n.nspname, c.relname, t.tgname),
       concat_ws(' ', CASE t.tgenabled WHEN 'O' THEN 'enabled' WHEN 'D' THEN 'disabled'
                      WHEN 'R' THEN 'for replicas' WHEN 'A' THEN 'always' END,
                 t.tgtype, t.tgfoid::regprocedure, CASE WHEN t.tgdeferrable THEN 'deferrable' END)
FROM pg_trigger AS t
JOIN pg_class AS c ON c.oid = t.tgrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal
