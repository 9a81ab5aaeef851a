/*
 * Instances: the servers that are watched, and the passes of watching.
 */

CREATE SCHEMA observability;
GRANT USAGE ON SCHEMA observability TO app_user, app_readonly;
COMMENT ON SCHEMA observability IS
    'What the harness measured: statistics, budgets, runs, checks and findings.';
