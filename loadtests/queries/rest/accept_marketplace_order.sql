-- A marketplace sends an order and waits: it becomes an order and check of ours, or is denied.
-- budget: p95 250ms
-- weight: 5
-- mode: write
-- rows: >=1
-- params: channel_order_id from rest.channel_order where state = 'delivered'
-- values: reference = text('mx-')
SELECT %(business_id)s::uuid AS business_id, r.channel_order_id, a.guest_order_id
FROM rest.channel_order AS o
CROSS JOIN LATERAL rest.receive_channel_order(
    o.channel_store_link_id, %(reference)s, o.payload) AS r (channel_order_id)
CROSS JOIN LATERAL rest.accept_channel_order(r.channel_order_id) AS a (guest_order_id)
WHERE o.business_id = %(business_id)s AND o.channel_order_id = %(channel_order_id)s
