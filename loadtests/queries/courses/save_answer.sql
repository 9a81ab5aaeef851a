-- The player saves an answer as soon as it changes.
-- budget: p95 30ms
-- weight: 40
-- mode: write
-- rows: >=1
-- params: assessment_attempt_id, question_id from courses.attempt_response where assessment_attempt_id in (select a.assessment_attempt_id from courses.assessment_attempt as a where a.state = 'in_progress' and a.client_ip is null)
-- values: entered = choice('check', 'review', 'verify', 'publish')
SELECT here.business_id, s.change_count
FROM tenant_mgmt.business AS here
CROSS JOIN LATERAL courses.save_answer(
    %(assessment_attempt_id)s, %(question_id)s,
    jsonb_build_object('parts', jsonb_build_array(jsonb_build_object(
        'text', %(entered)s::text))), 6) AS s (change_count)
WHERE here.business_id = %(business_id)s
