-- The other families run in the same nights.
INSERT INTO observability.check_run
    (business_id, check_run_id, family, git_commit, objects_checked, checks_run, verdict,
     started_at, finished_at)
SELECT r.business_id, md5(r.check_run_id || k.family)::uuid, k.family, r.git_commit, 142, k.checks,
       CASE WHEN k.family = 'static_sql' AND r.started_at < %(as_of)s - interval '20 days'
            THEN 'fail' ELSE 'pass' END,
       r.started_at - interval '2 minutes', r.started_at - interval '1 minute'
FROM observability.check_run AS r
CROSS JOIN (VALUES ('static_sql', 38), ('row_security', 8)) AS k (family, checks)
WHERE r.business_id = %(business_id)s AND r.family = 'isolation';

-- A finding was seen first and last by the run of that night.
UPDATE observability.finding AS f
SET first_check_run_id = (
        SELECT r.check_run_id FROM observability.check_run AS r
        WHERE r.business_id = f.business_id AND r.family = d.family
            AND r.started_at <= f.first_seen_at + interval '24 hours'
        ORDER BY r.started_at DESC LIMIT 1),
    last_check_run_id = (
        SELECT r.check_run_id FROM observability.check_run AS r
        WHERE r.business_id = f.business_id AND r.family = d.family
            AND r.started_at <= f.last_seen_at + interval '24 hours'
        ORDER BY r.started_at DESC LIMIT 1)
FROM observability.check_definition AS d
WHERE f.business_id = %(business_id)s
    AND d.business_id = f.business_id AND d.check_definition_id = f.check_definition_id;

-- Acknowledged warnings are accepted for a while.
INSERT INTO observability.finding_waiver
    (business_id, finding_waiver_id, finding_id, approved_by, reason, compensating_control,
     granted_at, expires_at)
SELECT f.business_id, md5(f.finding_id || 'waiver')::uuid, f.finding_id, a.user_account_id,
       'The table holds no rows yet', 'No grant to the application',
       f.last_seen_at, f.last_seen_at + interval '2160 hours'
FROM observability.finding AS f
CROSS JOIN LATERAL (
    SELECT u.user_account_id FROM user_mgmt.user_account AS u
    WHERE u.business_id = f.business_id
    ORDER BY u.user_account_id LIMIT 1
) AS a
WHERE f.business_id = %(business_id)s AND f.status = 'acknowledged';

-- One leak, in a throw-away schema, found and not yet mended.
INSERT INTO observability.isolation_probe
    (business_id, isolation_probe_id, check_run_id, subject_business_id, attacker_business_id,
     schema_name, object_name, object_kind, attempt, observed_rows, outcome, duration_us,
     probed_at)
SELECT r.business_id, md5(r.check_run_id || 'leak')::uuid, r.check_run_id,
       md5(r.check_run_id || 'subject')::uuid, r.business_id, 'scratch', 'planted_view', 'view',
       'select', 3, 'leak', 850, r.started_at + interval '30 seconds'
FROM observability.check_run AS r
WHERE r.business_id = %(business_id)s AND r.family = 'isolation'
ORDER BY r.started_at DESC
LIMIT 1;
UPDATE observability.check_run AS r
SET verdict = 'fail', findings_new = 1, findings_open = 1
WHERE r.business_id = %(business_id)s
    AND r.check_run_id IN (SELECT f.last_check_run_id FROM observability.finding AS f
                           WHERE f.business_id = %(business_id)s AND f.severity = 'critical');
