-- What was assessed was suspected; who was not to be told was not told.
UPDATE security_mgmt.incident AS i
SET is_suspected_breach = true, affected_record_count = a.persons_affected
FROM security_mgmt.breach_assessment AS a
WHERE i.business_id = %(business_id)s
  AND a.business_id = i.business_id AND a.incident_id = i.incident_id;
DELETE FROM security_mgmt.breach_notification AS n
USING security_mgmt.breach_assessment AS a
WHERE n.business_id = %(business_id)s
  AND a.business_id = n.business_id AND a.breach_assessment_id = n.breach_assessment_id
  AND a.decision <> 'notify';

-- Numbers go on after the last one.
INSERT INTO system_core.number_sequence
    (business_id, number_sequence_id, sequence_code, prefix, next_value)
SELECT i.business_id, md5(i.business_id || ' security_incident')::uuid, 'security_incident',
       'INC-', count(*) + 1
FROM security_mgmt.incident AS i
WHERE i.business_id = %(business_id)s
GROUP BY i.business_id;
