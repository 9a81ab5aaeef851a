-- Rules that do something, beside those that make views: DO INSTEAD NOTHING is a query of type 7,
-- which is CMD_NOTHING since PostgreSQL 15.
SELECT r.rulename, n.nspname, c.relname
FROM pg_rewrite AS r
JOIN pg_class AS c ON c.oid = r.ev_class
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE r.rulename <> '_RETURN' AND r.ev_action::text NOT LIKE '({QUERY :commandType 7 %%'
  AND n.nspname = ANY (%(schemas)s)
ORDER BY r.oid
