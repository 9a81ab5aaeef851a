-- Every fifteen seconds of every viewer: what was just watched is added to what was seen.
-- budget: p95 20ms
-- weight: 60
-- mode: write
-- rows: >=1
-- params: enrollment_id, content_item_id from courses.video_progress where watched_pct >= 90
-- values: from_s = random_int(0, 200)
SELECT here.business_id, h.watched_pct, h.position_seconds
FROM tenant_mgmt.business AS here
CROSS JOIN LATERAL courses.record_heartbeat(
    %(enrollment_id)s, %(content_item_id)s, %(from_s)s::integer, %(from_s)s::integer + 15, 1.25) AS h
WHERE here.business_id = %(business_id)s
