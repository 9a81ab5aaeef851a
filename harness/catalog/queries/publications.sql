SELECT pubname, schemaname, tablename, rowfilter IS NOT NULL
FROM pg_publication_tables
WHERE schemaname = ANY (%(schemas)s)
ORDER BY 1, 2, 3
