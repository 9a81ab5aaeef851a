-- skeleton
CREATE SCHEMA auto;
GRANT USAGE ON SCHEMA auto TO app_user, app_readonly;
COMMENT ON SCHEMA auto IS 'A vehicle repair business: shops, vehicles, diagnosis, parts, repair orders, claims.';
