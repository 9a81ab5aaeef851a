-- Indexes that no constraint made.
SELECT n.nspname, c.relname, x.relname,
       ARRAY(SELECT pg_get_indexdef(i.indexrelid, position, true)
             FROM generate_series(1, i.indnkeyatts) AS position),
       i.indisunique, pg_get_expr(i.indpred, i.indrelid), am.amname, i.indnullsnotdistinct,
       obj_description(x.oid, 'pg_class')
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_class AS x ON x.oid = i.indexrelid
JOIN pg_am AS am ON am.oid = x.relam
WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY (%(schemas)s)
  AND NOT EXISTS (SELECT FROM pg_constraint AS k
                  WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
ORDER BY c.oid, x.oid
