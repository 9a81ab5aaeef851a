-- Who waits for a lock, the longest first, and who has it that long already.
SELECT a.pid, a.application_name AS application,
       left(regexp_replace(a.query, '\s+', ' ', 'g'), 200) AS query,
       coalesce(extract(epoch FROM clock_timestamp() - l.waitstart), 0)::float8 AS seconds,
       CASE WHEN l.relation IS NOT NULL
                 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            THEN l.relation::regclass::text ELSE l.locktype END AS object,
       b.pid AS holder, b.application_name AS holder_application, b.state AS holder_state,
       left(regexp_replace(b.query, '\s+', ' ', 'g'), 200) AS holder_query
FROM pg_locks AS l
JOIN pg_stat_activity AS a ON a.pid = l.pid
LEFT JOIN LATERAL (
    SELECT h.pid, h.application_name, h.state, h.query
    FROM pg_stat_activity AS h
    WHERE h.pid = ANY (pg_blocking_pids(a.pid))
    ORDER BY h.xact_start
    LIMIT 1
) AS b ON true
WHERE NOT l.granted
ORDER BY 4 DESC
LIMIT 20
