-- Objects per schema and kind, without the system's, the harness's and those of an extension.
WITH own AS (
    SELECT n.oid, n.nspname FROM pg_namespace AS n
    WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'harness')
), relation AS (
    SELECT own.nspname, c.oid, c.relkind, c.relispartition
    FROM pg_class AS c JOIN own ON own.oid = c.relnamespace
    WHERE NOT EXISTS (SELECT FROM pg_depend AS d
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                        AND d.deptype = 'e')
), plain AS (
    SELECT * FROM relation WHERE relkind IN ('r', 'p') AND NOT relispartition
)
SELECT nspname, 'tables', count(*)::integer FROM plain GROUP BY 1
UNION ALL
SELECT nspname, 'partitions', count(*)::integer FROM relation
WHERE relkind = 'r' AND relispartition GROUP BY 1
UNION ALL
SELECT plain.nspname, 'indexes', count(*)::integer
FROM plain JOIN pg_index AS i ON i.indrelid = plain.oid GROUP BY 1
UNION ALL
SELECT plain.nspname, 'constraints', count(*)::integer
FROM plain JOIN pg_constraint AS k ON k.conrelid = plain.oid
WHERE k.contype IN ('p', 'u', 'f', 'c', 'x') GROUP BY 1
UNION ALL
SELECT plain.nspname, 'triggers', count(*)::integer
FROM plain JOIN pg_trigger AS t ON t.tgrelid = plain.oid WHERE NOT t.tgisinternal GROUP BY 1
UNION ALL
SELECT plain.nspname, 'policies', count(*)::integer
FROM plain JOIN pg_policy AS p ON p.polrelid = plain.oid GROUP BY 1
UNION ALL
SELECT nspname, CASE relkind WHEN 'v' THEN 'views' ELSE 'materialized views' END,
       count(*)::integer
FROM relation WHERE relkind IN ('v', 'm') GROUP BY 1, 2
UNION ALL
SELECT own.nspname, 'functions', count(*)::integer
FROM pg_proc AS p JOIN own ON own.oid = p.pronamespace
WHERE NOT EXISTS (SELECT FROM pg_depend AS d
                  WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
GROUP BY 1
UNION ALL
SELECT own.nspname, 'domains', count(*)::integer
FROM pg_type AS t JOIN own ON own.oid = t.typnamespace WHERE t.typtype = 'd' GROUP BY 1
ORDER BY 1, 2
