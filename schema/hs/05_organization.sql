-- skeleton
CREATE SCHEMA hs;
GRANT USAGE ON SCHEMA hs TO app_user, app_readonly;
COMMENT ON SCHEMA hs IS 'A home-services company from call to cash: customers, dispatch, work, stock, money, safety.';
