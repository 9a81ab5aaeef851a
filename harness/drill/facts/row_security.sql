SELECT format('%s.%s', n.nspname, c.relname),
       concat(CASE WHEN c.relrowsecurity THEN 'enabled' ELSE 'disabled' END,
              CASE WHEN c.relforcerowsecurity THEN ', forced' END)
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
