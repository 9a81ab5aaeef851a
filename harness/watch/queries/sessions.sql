SELECT count(*)::integer AS sessions,
       count(*) FILTER (WHERE a.state = 'active')::integer AS active,
       count(*) FILTER (WHERE a.state LIKE 'idle in transaction%')::integer AS idle_in_transaction,
       current_setting('max_connections')::integer AS most,
       coalesce(max(extract(epoch FROM clock_timestamp() - a.xact_start)), 0)::float8 AS oldest
FROM pg_stat_activity AS a
WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
