-- Types of ranges with the type of their bounds; a multirange has that of its ranges, and [].
SELECT n.nspname, t.typname, format_type(r.rngsubtype, NULL)
FROM pg_range AS r
JOIN pg_type AS t ON t.oid = r.rngtypid
JOIN pg_namespace AS n ON n.oid = t.typnamespace
WHERE n.nspname = ANY (%(schemas)s)
UNION ALL
SELECT n.nspname, t.typname, format_type(r.rngsubtype, NULL) || '[]'
FROM pg_range AS r
JOIN pg_type AS t ON t.oid = r.rngmultitypid
JOIN pg_namespace AS n ON n.oid = t.typnamespace
WHERE n.nspname = ANY (%(schemas)s)
ORDER BY 1, 2
