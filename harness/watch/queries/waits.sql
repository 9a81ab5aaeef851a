-- What active sessions wait for, with PostgreSQL's own words for it.
SELECT coalesce(a.wait_event_type || ' ' || a.wait_event, 'running'), coalesce(w.description, ''),
       count(*)::integer
FROM pg_stat_activity AS a
LEFT JOIN pg_wait_events AS w ON (w.type, w.name) = (a.wait_event_type, a.wait_event)
WHERE a.state = 'active' AND a.backend_type IN ('client backend', 'parallel worker')
  AND a.pid <> pg_backend_pid()
GROUP BY 1, 2
ORDER BY 3 DESC, 1
