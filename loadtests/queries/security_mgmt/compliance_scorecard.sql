-- Compliance officer: the scorecard of one framework, requirement by requirement.
-- budget: p95 200ms
-- weight: 1
-- mode: read
-- rows: >=1
-- params: compliance_framework_id from security_mgmt.compliance_framework where is_applicable
WITH last_test AS (
    SELECT DISTINCT ON (t.security_control_id)
           t.security_control_id, t.result, t.performed_on
    FROM security_mgmt.control_test AS t
    WHERE t.business_id = %(business_id)s
      AND t.test_kind IN ('operating', 'automated_check') AND t.result <> 'not_tested'
    ORDER BY t.security_control_id, t.performed_on DESC, t.control_test_id DESC
), mapped AS (
    SELECT m.framework_requirement_id,
           count(*) AS control_count,
           count(*) FILTER (WHERE t.result = 'effective') AS effective_count,
           max(t.performed_on) AS last_tested_on,
           least(100, coalesce(sum(
               m.strength
               * CASE m.coverage WHEN 'full' THEN 1 WHEN 'partial' THEN 0.5 ELSE 0.2 END
               * CASE c.implementation WHEN 'implemented' THEN 1 ELSE 0.5 END)
               FILTER (WHERE t.result = 'effective'
                             AND c.implementation IN ('implemented', 'partial')), 0)) AS coverage
    FROM security_mgmt.control_mapping AS m
    JOIN security_mgmt.security_control AS c
        ON c.business_id = %(business_id)s AND c.security_control_id = m.security_control_id
    LEFT JOIN last_test AS t ON t.security_control_id = c.security_control_id
    WHERE m.business_id = %(business_id)s
    GROUP BY m.framework_requirement_id
)
SELECT r.business_id, r.reference_code, r.title,
       coalesce(m.control_count, 0) AS control_count,
       coalesce(m.effective_count, 0) AS effective_count, m.last_tested_on,
       round(coalesce(m.coverage, 0), 2) AS coverage_pct,
       CASE WHEN m.coverage >= 80 THEN 'met' WHEN m.coverage > 0 THEN 'partial'
            ELSE 'missing' END AS status
FROM security_mgmt.framework_requirement AS r
LEFT JOIN mapped AS m ON m.framework_requirement_id = r.framework_requirement_id
WHERE r.business_id = %(business_id)s
  AND r.compliance_framework_id = %(compliance_framework_id)s
  AND r.is_assessable
ORDER BY r.sort_path
