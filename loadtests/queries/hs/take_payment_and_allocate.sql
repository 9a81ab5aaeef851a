-- A card is charged on site: the payment is taken once, applied to the invoice, and closes the job.
-- budget: p95 150ms
-- weight: 4
-- mode: write
-- rows: >=1
-- params: invoice_id from hs.invoice where status IN ('issued', 'partially_paid', 'overdue')
-- values: idempotency_key = text('site-')
-- values: processor_ref = text('ch_')
-- values: amount = random_int(1, 5)
SELECT p.business_id,
       p.payment_id,
       p.payment_number,
       p.allocated_amount,
       p.unapplied_amount,
       p.invoice_status,
       p.open_balance
FROM tenant_mgmt.business AS here
CROSS JOIN LATERAL hs.take_payment(
    %(invoice_id)s::uuid, %(amount)s::numeric, 'card', %(idempotency_key)s, %(processor_ref)s) AS p
WHERE here.business_id = %(business_id)s
