-- What stands beside the database, roles, functions and relations, not in postgresql.conf.
SELECT concat('role ', coalesce(pg_get_userbyid(nullif(s.setrole, 0)), 'any'),
              CASE WHEN s.setdatabase <> 0 THEN ' in the database' END),
       array_to_string(ARRAY(SELECT x FROM unnest(s.setconfig) AS x ORDER BY x), ' ')
FROM pg_db_role_setting AS s
WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
UNION ALL
SELECT p.oid::regprocedure::text,
       array_to_string(ARRAY(SELECT x FROM unnest(p.proconfig) AS x ORDER BY x), ' ')
FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.proconfig IS NOT NULL AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL
SELECT format('%s.%s', n.nspname, c.relname),
       array_to_string(ARRAY(SELECT x FROM unnest(c.reloptions) AS x ORDER BY x), ' ')
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.reloptions IS NOT NULL AND n.nspname !~ '^pg_'
  AND n.nspname <> 'information_schema'
