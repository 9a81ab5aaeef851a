/*
 * The audit trail: one hash chain per tenant that nobody can mend.
 */

CREATE SCHEMA security_mgmt;
GRANT USAGE ON SCHEMA security_mgmt TO app_user, app_readonly;
COMMENT ON SCHEMA security_mgmt IS
    'The tenant''s security operation: audit trail, detection, exposure and compliance.';
