-- What a session begins with: of a role, of this database, of both, or of every database.
SELECT coalesce(r.rolname, 'database ' || d.datname, 'every role')::text,
       split_part(c.setting, '=', 1)
FROM pg_db_role_setting AS s
LEFT JOIN pg_roles AS r ON r.oid = s.setrole
LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
CROSS JOIN unnest(s.setconfig) AS c (setting)
WHERE s.setdatabase = 0 OR d.datname = current_database()
ORDER BY 1, 2
