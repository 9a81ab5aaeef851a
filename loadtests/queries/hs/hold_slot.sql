-- A customer taps a window: its time is kept for ten minutes, and what the session kept is freed.
-- budget: p95 80ms
-- weight: 6
-- mode: write
-- rows: >=1
-- params: capacity_plan_id from hs.capacity_plan where plan_on > current_date + 1 AND NOT is_closed AND sellable_minutes - booked_minutes >= 240
-- values: session_no = random_int(1, 20)
SELECT h.business_id, h.booking_hold_id, h.capacity_plan_id, h.held_minutes, h.expires_at
FROM tenant_mgmt.business AS here
CROSS JOIN LATERAL hs.hold_slot(
    %(capacity_plan_id)s::uuid, 10, 'session-' || %(session_no)s::integer) AS h
WHERE here.business_id = %(business_id)s
