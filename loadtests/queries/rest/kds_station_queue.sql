-- A cook's screen refreshes: the open tickets of the station in the order of firing.
-- budget: p95 40ms
-- weight: 30
-- mode: read
-- rows: >=1
-- params: prep_station_id from rest.kitchen_ticket where state IN ('fired', 'in_progress')
SELECT q.business_id, q.kitchen_ticket_id, q.ticket_number, q.ticket_kind, q.state, q.priority,
       q.fired_at, q.due_at, q.recall_count, q.order_number, q.service_mode, q.brand_name,
       q.age_seconds, q.color, q.open_items, q.has_allergy, q.items
FROM rest.v_kds_station_queue AS q
WHERE q.business_id = %(business_id)s AND q.prep_station_id = %(prep_station_id)s
ORDER BY q.fired_at, q.kitchen_ticket_id
LIMIT 30
