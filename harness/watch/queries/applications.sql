SELECT a.application_name, count(*)::integer
FROM pg_stat_activity AS a
WHERE a.state = 'active' AND a.backend_type = 'client backend' AND a.application_name <> ''
  AND a.pid <> pg_backend_pid()
GROUP BY 1
