-- Rules that do something, beside those that make views: DO INSTEAD NOTHING is an empty action.
SELECT r.rulename, n.nspname, c.relname
FROM pg_rewrite AS r
JOIN pg_class AS c ON c.oid = r.ev_class
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE r.rulename <> '_RETURN' AND r.ev_action::text <> '<>' AND n.nspname = ANY (%(schemas)s)
ORDER BY r.oid
