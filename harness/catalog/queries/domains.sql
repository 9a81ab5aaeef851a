SELECT n.nspname, t.typname, format_type(t.typbasetype, t.typtypmod), t.typnotnull,
       ARRAY(SELECT pg_get_expr(k.conbin, 0) FROM pg_constraint AS k
             WHERE k.contypid = t.oid AND k.contype = 'c' ORDER BY k.oid),
       obj_description(t.oid, 'pg_type')
FROM pg_type AS t
JOIN pg_namespace AS n ON n.oid = t.typnamespace
WHERE t.typtype = 'd' AND n.nspname = ANY (%(schemas)s)
ORDER BY t.oid
