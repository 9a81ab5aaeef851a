-- The functions of the database's users, and whether an INSERT fires one as a trigger.
SELECT n.nspname || '.' || p.proname, p.prosrc,
       EXISTS (SELECT FROM pg_trigger AS t
               WHERE t.tgfoid = p.oid AND NOT t.tgisinternal AND t.tgtype & 4 > 0)
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname !~ '^pg_|^information_schema$' AND p.prosrc <> ''
