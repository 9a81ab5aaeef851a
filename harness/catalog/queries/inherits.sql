-- Tables that inherit, which is not partitioning, with each of their parents.
SELECT n.nspname, c.relname, pn.nspname, p.relname
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_class AS p ON p.oid = i.inhparent
JOIN pg_namespace AS pn ON pn.oid = p.relnamespace
WHERE NOT c.relispartition AND c.relkind = 'r' AND n.nspname = ANY (%(schemas)s)
ORDER BY c.oid, i.inhseqno
