SELECT format('%s.%s', n.nspname, c.relname),
       concat_ws(' ', i.indrelid::regclass, a.amname, i.indnatts, i.indnkeyatts,
                 CASE WHEN i.indisunique THEN 'unique' END,
                 CASE WHEN NOT i.indisvalid THEN 'invalid' END),
       pg_get_expr(i.indpred, i.indrelid)
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_am AS a ON a.oid = c.relam
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
