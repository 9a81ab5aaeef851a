-- What is open, the worst first, with what would mend it and how often it was waived before.
-- budget: p95 60ms
-- weight: 4
-- mode: read
-- rows: >=1
SELECT f.business_id, f.finding_id, d.check_code, f.severity, f.status, f.schema_name,
       f.object_name, f.title, d.remediation, f.occurrences, f.first_seen_at, f.last_seen_at,
       (SELECT count(*) FROM observability.finding_waiver AS w
        WHERE w.business_id = %(business_id)s AND w.finding_id = f.finding_id) AS waiver_count
FROM observability.finding AS f
JOIN observability.check_definition AS d
    ON d.business_id = %(business_id)s AND d.check_definition_id = f.check_definition_id
WHERE f.business_id = %(business_id)s
  AND f.status IN ('open', 'acknowledged', 'reopened')
ORDER BY array_position(ARRAY['critical', 'error', 'warning', 'info'], f.severity),
         f.first_seen_at
LIMIT 100
