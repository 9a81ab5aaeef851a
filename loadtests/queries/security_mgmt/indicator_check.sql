-- Is this address, domain or hash known to be bad? In the path of every sign-in.
-- budget: p95 15ms
-- weight: 20
-- mode: read
-- rows: >=1
-- params: indicator_kind, value from security_mgmt.threat_indicator where valid_from <= now() AND valid_until > now() + interval '1 hour'
SELECT i.business_id, i.threat_indicator_id, i.feed_name, i.confidence, i.severity, i.threat_actor
FROM security_mgmt.threat_indicator AS i
WHERE i.business_id = %(business_id)s
    AND i.indicator_kind = %(indicator_kind)s
    AND i.value = %(value)s
    AND i.valid_from <= now()
    AND (i.valid_until > now() OR i.valid_until IS NULL)
ORDER BY i.confidence DESC
