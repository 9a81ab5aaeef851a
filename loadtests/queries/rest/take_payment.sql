-- A card is charged at the table: part of what the check still owes, until it is settled.
-- budget: p95 120ms
-- weight: 5
-- mode: write
-- rows: >=0
-- params: guest_check_id from rest.guest_check where balance_due > 5
-- values: reference = text('ch_')
SELECT p.business_id, p.check_payment_id, p.payment_number, p.amount, p.captured_at
FROM rest.guest_check AS c
CROSS JOIN LATERAL rest.take_payment(
    c.guest_check_id, 0.01, 'card', 0, NULL, NULL, NULL, %(reference)s) AS p
WHERE c.business_id = %(business_id)s AND c.guest_check_id = %(guest_check_id)s
  AND c.balance_due > 0.01
