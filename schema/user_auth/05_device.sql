/*
 * Devices: what people sign in from.
 */

CREATE SCHEMA user_auth;
GRANT USAGE ON SCHEMA user_auth TO app_user, app_readonly;
COMMENT ON SCHEMA user_auth IS 'How accounts sign in, and the sessions that follow.';
