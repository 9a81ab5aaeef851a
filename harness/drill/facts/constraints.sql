SELECT format('%s.%s: %s', n.nspname, c.relname, k.conname),
       concat_ws(' ', k.contype, CASE WHEN k.convalidated THEN 'validated' ELSE 'not validated' END,
                 nullif(k.confrelid, 0)::regclass, CASE WHEN k.condeferrable THEN 'deferrable' END),
       pg_get_expr(k.conbin, k.conrelid)
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
