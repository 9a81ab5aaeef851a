-- An acceptance is of a finding that was accepted, and there is one for each.
WITH wanted AS (
    SELECT f.vulnerability_finding_id, f.opened_at,
           row_number() OVER (ORDER BY f.vulnerability_finding_id) AS place
    FROM security_mgmt.vulnerability_finding AS f
    WHERE f.business_id = %(business_id)s AND f.status = 'risk_accepted'
), had AS (
    SELECT a.risk_acceptance_id, row_number() OVER (ORDER BY a.risk_acceptance_id) AS place
    FROM security_mgmt.risk_acceptance AS a
    WHERE a.business_id = %(business_id)s
), ended AS (
    DELETE FROM security_mgmt.risk_acceptance AS a
    USING had
    WHERE a.business_id = %(business_id)s AND a.risk_acceptance_id = had.risk_acceptance_id
      AND had.place > (SELECT count(*) FROM wanted)
)
UPDATE security_mgmt.risk_acceptance AS a
SET vulnerability_finding_id = w.vulnerability_finding_id,
    state = 'accepted'
FROM had JOIN wanted AS w USING (place)
WHERE a.business_id = %(business_id)s AND a.risk_acceptance_id = had.risk_acceptance_id;
UPDATE security_mgmt.vulnerability_finding AS f
SET status = 'open'
WHERE f.business_id = %(business_id)s AND f.status = 'risk_accepted'
  AND NOT EXISTS (SELECT FROM security_mgmt.risk_acceptance AS a
                  WHERE a.business_id = f.business_id
                    AND a.vulnerability_finding_id = f.vulnerability_finding_id);

-- A finding lies in a component of its asset, was last seen by the run before it was gone, and
-- is as urgent as what is known says.
UPDATE security_mgmt.vulnerability_finding AS f
SET software_component_id = (
        SELECT c.software_component_id FROM security_mgmt.software_component AS c
        WHERE c.business_id = f.business_id AND c.security_asset_id = f.security_asset_id
        ORDER BY md5(c.purl || f.location) LIMIT 1),
    last_scan_run_id = (
        SELECT r.scan_run_id FROM security_mgmt.scan_run AS r
        WHERE r.business_id = f.business_id
          AND r.started_at BETWEEN f.first_seen_at AND f.last_seen_at
        ORDER BY r.started_at DESC, r.scan_run_id LIMIT 1),
    remediation_task_id = CASE WHEN f.status IN ('in_remediation', 'fixed_unverified', 'closed')
                               THEN f.remediation_task_id END,
    priority_score = security_mgmt.finding_priority(
        v.cvss_score, v.epss_probability, v.is_known_exploited, f.severity, a.criticality,
        a.internet_facing)
FROM security_mgmt.vulnerability AS v, security_mgmt.security_asset AS a
WHERE f.business_id = %(business_id)s
  AND v.business_id = f.business_id AND v.vulnerability_id = f.vulnerability_id
  AND a.business_id = f.business_id AND a.security_asset_id = f.security_asset_id;

-- Numbers go on after the last one.
INSERT INTO system_core.number_sequence
    (business_id, number_sequence_id, sequence_code, prefix, next_value)
SELECT t.business_id, md5(t.business_id || ' remediation_task')::uuid, 'remediation_task', 'REM-',
       count(*) + 1
FROM security_mgmt.remediation_task AS t
WHERE t.business_id = %(business_id)s
GROUP BY t.business_id;
