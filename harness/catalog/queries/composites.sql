-- Attributes of composite types.
SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relkind = 'c' AND n.nspname = ANY (%(schemas)s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.oid, a.attnum
