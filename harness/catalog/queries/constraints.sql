SELECT n.nspname, c.relname, k.conname,
       CASE k.contype WHEN 'p' THEN 'primary key' WHEN 'u' THEN 'unique'
                      WHEN 'f' THEN 'foreign key' WHEN 'c' THEN 'check'
                      WHEN 'x' THEN 'exclude' END,
       ARRAY(SELECT a.attname::text
             FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, position)
             JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.attnum
             ORDER BY u.position),
       CASE k.contype WHEN 'c' THEN pg_get_expr(k.conbin, k.conrelid)
                      WHEN 'x' THEN pg_get_constraintdef(k.oid) END,
       fn.nspname, f.relname,
       ARRAY(SELECT a.attname::text
             FROM unnest(k.confkey) WITH ORDINALITY AS u (attnum, position)
             JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = u.attnum
             ORDER BY u.position),
       k.confdeltype::text, k.confupdtype::text, k.condeferrable,
       ARRAY(SELECT o.oprname::text
             FROM unnest(k.conexclop) WITH ORDINALITY AS u (operator, position)
             JOIN pg_operator AS o ON o.oid = u.operator
             ORDER BY u.position),
       coalesce(i.indnullsnotdistinct, false)
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_class AS f ON f.oid = k.confrelid
LEFT JOIN pg_namespace AS fn ON fn.oid = f.relnamespace
LEFT JOIN pg_index AS i ON i.indexrelid = k.conindid AND k.contype IN ('p', 'u')
WHERE k.contype IN ('p', 'u', 'f', 'c', 'x') AND n.nspname = ANY (%(schemas)s)
  -- A foreign key to a partitioned table has a copy per partition of it: the original is enough.
  AND (k.contype <> 'f' OR k.conparentid = 0)
ORDER BY c.oid, k.oid
