-- The user's relations with how Citus spreads them. repmodel 't' marks a reference table among
-- those without a key; the others are local tables in its metadata.
SELECT n.nspname, c.relname, pn.nspname, p.relname,
       CASE WHEN d.partmethod = 'h' THEN 'hash'
            WHEN d.partmethod = 'n' AND d.repmodel = 't' THEN 'reference'
            WHEN d.partmethod = 'n' AND d.colocationid = 0 THEN 'local'
            WHEN d.partmethod IS NOT NULL THEN 'other' END,
       CASE WHEN d.partkey IS NOT NULL THEN column_to_column_name(c.oid, d.partkey) END,
       d.colocationid
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_dist_partition AS d ON d.logicalrelid = c.oid
LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid AND c.relispartition
LEFT JOIN pg_class AS p ON p.oid = i.inhparent
LEFT JOIN pg_namespace AS pn ON pn.oid = p.relnamespace
WHERE c.relkind IN ('r', 'p')
  AND n.nspname = ANY (%(schemas)s)
  AND NOT EXISTS (SELECT FROM pg_depend AS e
                  WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
ORDER BY c.oid
