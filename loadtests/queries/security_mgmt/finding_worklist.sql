-- What to repair first: the 50 most urgent open findings.
-- budget: p95 120ms
-- weight: 3
-- mode: read
-- rows: >=1
SELECT f.business_id, f.vulnerability_finding_id, v.identifier, v.title, v.cvss_score,
       v.epss_probability, v.is_known_exploited, v.fix_available, a.asset_tag, a.name,
       a.criticality, f.location, f.severity, f.status, f.priority_score, f.sla_due_on,
       f.is_sla_breached
FROM security_mgmt.vulnerability_finding AS f
JOIN security_mgmt.vulnerability AS v
    ON v.business_id = %(business_id)s AND v.vulnerability_id = f.vulnerability_id
JOIN security_mgmt.security_asset AS a
    ON a.business_id = %(business_id)s AND a.security_asset_id = f.security_asset_id
WHERE f.business_id = %(business_id)s
    AND f.status IN ('open', 'in_remediation', 'fixed_unverified', 'reopened')
ORDER BY f.priority_score DESC, f.vulnerability_finding_id
LIMIT 50
