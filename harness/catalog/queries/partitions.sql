-- What the rows of each partition that holds rows itself have in common, by the table on top.
SELECT n.nspname, c.relname, coalesce(pg_get_partition_constraintdef(t.relid), 'true')
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN pg_partition_tree(c.oid) AS t
WHERE c.relkind = 'p' AND NOT c.relispartition AND t.isleaf AND t.relid <> c.oid
  AND n.nspname = ANY (%(schemas)s)
ORDER BY c.oid, t.relid
