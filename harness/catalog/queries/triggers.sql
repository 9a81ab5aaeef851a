-- tgtype is a bit set (pg_trigger.h): 1 row, 2 before, 4 insert, 8 delete, 16 update,
-- 32 truncate, 64 instead.
SELECT n.nspname, c.relname, t.tgname,
       CASE WHEN t.tgtype & 2 <> 0 THEN 'before' WHEN t.tgtype & 64 <> 0 THEN 'instead of'
            ELSE 'after' END,
       array_remove(ARRAY[
           CASE WHEN t.tgtype & 4 <> 0 THEN 'insert' END,
           CASE WHEN t.tgtype & 16 <> 0 THEN 'update' END,
           CASE WHEN t.tgtype & 8 <> 0 THEN 'delete' END,
           CASE WHEN t.tgtype & 32 <> 0 THEN 'truncate' END], NULL),
       CASE WHEN t.tgtype & 1 <> 0 THEN 'row' ELSE 'statement' END,
       fn.nspname, f.proname, t.tgargs
FROM pg_trigger AS t
JOIN pg_class AS c ON c.oid = t.tgrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_proc AS f ON f.oid = t.tgfoid
JOIN pg_namespace AS fn ON fn.oid = f.pronamespace
WHERE NOT t.tgisinternal AND n.nspname = ANY (%(schemas)s)
ORDER BY c.oid, t.oid
