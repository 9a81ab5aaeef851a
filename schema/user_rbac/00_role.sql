/*
 * Roles: what may be done, bundled, and bundles within bundles.
 */

CREATE SCHEMA user_rbac;
GRANT USAGE ON SCHEMA user_rbac TO app_user, app_readonly;
COMMENT ON SCHEMA user_rbac IS
    'Who may do what: roles, duties, delegation, requests and reviews.';
