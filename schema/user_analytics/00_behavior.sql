/*
 * Behavior: what people do, what is usual for them, and what is not.
 */

CREATE SCHEMA user_analytics;
GRANT USAGE ON SCHEMA user_analytics TO app_user, app_readonly;
COMMENT ON SCHEMA user_analytics IS
    'How people behave, and the risk in it.';
