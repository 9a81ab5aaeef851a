-- What one node says of itself, as one JSON document. Expressions are printed with every name
-- qualified, whatever search_path the node's sessions have.
WITH plain AS MATERIALIZED (SELECT set_config('search_path', 'pg_catalog', true)),
relation AS (
    SELECT n.nspname, c.relname, c.oid, c.relrowsecurity, c.relforcerowsecurity
    FROM plain, pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY ({schemas}::text[])
),
policy AS (
    SELECT p.polrelid, json_agg(json_build_object(
        'name', p.polname,
        'permissive', p.polpermissive,
        'command', CASE p.polcmd WHEN '*' THEN 'all' WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert'
                                 WHEN 'w' THEN 'update' WHEN 'd' THEN 'delete' END,
        'roles', ARRAY(
            SELECT CASE u.role WHEN 0 THEN 'public' ELSE pg_get_userbyid(u.role)::text END
            FROM unnest(p.polroles) AS u (role) ORDER BY 1),
        'using', pg_get_expr(p.polqual, p.polrelid),
        'check', pg_get_expr(p.polwithcheck, p.polrelid)) ORDER BY p.polname) AS listed
    FROM plain, pg_policy AS p
    GROUP BY p.polrelid
)
SELECT json_build_object(
    'started', extract(epoch FROM pg_postmaster_start_time()),
    'relations', (
        SELECT coalesce(json_agg(json_build_object(
            'name', json_build_array(r.nspname, r.relname),
            'protection', json_build_object(
                'row_security', r.relrowsecurity,
                'force_row_security', r.relforcerowsecurity,
                'policies', coalesce(p.listed, '[]')))), '[]')
        FROM relation AS r LEFT JOIN policy AS p ON p.polrelid = r.oid),
    'telemetry', (
        SELECT coalesce(json_agg(json_build_array(v.relname, a.rolname)
                                 ORDER BY v.relname, a.rolname), '[]')
        FROM pg_class AS v, pg_roles AS a
        WHERE v.relname = ANY ('{{citus_stat_statements,citus_stat_tenants,citus_stat_tenants_local}}')
          AND v.relnamespace = 'pg_catalog'::regnamespace
          AND a.rolname = ANY ({roles}::text[])
          AND has_any_column_privilege(a.oid, v.oid, 'SELECT')))::text
