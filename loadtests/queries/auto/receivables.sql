-- The owner opens the aging: what each customer and fleet owes, by how long it is overdue.
-- budget: p95 250ms
-- weight: 1
-- mode: read
-- rows: >=0
SELECT i.business_id,
       i.bill_to_customer_id,
       c.customer_number,
       c.display_name,
       i.open_count,
       i.current_amount,
       i.days_1_30_amount,
       i.over_30_amount,
       i.open_amount
FROM (
    SELECT v.business_id, v.bill_to_customer_id, count(*) AS open_count,
           sum(v.open_balance) FILTER (WHERE v.due_on >= today.local)        AS current_amount,
           sum(v.open_balance) FILTER (WHERE today.local - v.due_on BETWEEN 1 AND 30)
                                                                             AS days_1_30_amount,
           sum(v.open_balance) FILTER (WHERE today.local - v.due_on > 30)    AS over_30_amount,
           sum(v.open_balance)                                               AS open_amount
    FROM auto.invoice AS v
    CROSS JOIN (SELECT tenant_mgmt.today() AS local) AS today
    WHERE v.business_id = %(business_id)s
      AND v.open_balance > 0
      AND v.status <> 'written_off'
      AND v.payer_kind IN ('customer', 'fleet')
    GROUP BY v.business_id, v.bill_to_customer_id
) AS i
JOIN auto.customer AS c
    ON c.business_id = i.business_id AND c.customer_id = i.bill_to_customer_id
WHERE c.business_id = %(business_id)s
ORDER BY i.open_amount DESC, i.bill_to_customer_id
LIMIT 200;
