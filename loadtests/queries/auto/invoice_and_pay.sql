-- A card is taken at the counter: the order is invoiced where it is not yet, the money is taken once
-- and applied, and the order is closed when nobody owes anything.
-- budget: p95 200ms
-- weight: 4
-- mode: write
-- rows: >=1
-- params: repair_order_id from auto.repair_order where status IN ('invoiced', 'closed')
-- values: idempotency_ref = text('counter-')
-- values: processor_ref = text('ch_')
-- values: amount = random_int(1, 5)
SELECT p.business_id,
       p.repair_order_id,
       p.order_status,
       p.payment_id,
       p.payment_number,
       p.paid_amount,
       p.unapplied_amount,
       p.open_balance
FROM tenant_mgmt.business AS here
CROSS JOIN LATERAL auto.invoice_and_pay(
    of_repair_order => %(repair_order_id)s::uuid,
    method          => 'card',
    idempotency_ref => %(idempotency_ref)s,
    amount          => %(amount)s::numeric,
    processor_ref   => %(processor_ref)s) AS p
WHERE here.business_id = %(business_id)s
