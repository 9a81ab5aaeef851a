-- The owner opens the aging: what each customer owes, by how long it is overdue.
-- budget: p95 300ms
-- weight: 1
-- mode: read
-- rows: >=1
SELECT i.business_id,
       i.customer_id,
       c.customer_number,
       c.display_name,
       i.open_count,
       i.current_amount,
       i.days_1_30_amount,
       i.days_31_60_amount,
       i.days_61_90_amount,
       i.over_90_amount,
       i.open_amount
FROM (
    SELECT v.business_id, v.customer_id, count(*) AS open_count,
           sum(v.open_balance) FILTER (WHERE v.due_on >= today.local)    AS current_amount,
           sum(v.open_balance) FILTER (WHERE today.local - v.due_on BETWEEN 1 AND 30)
                                                                         AS days_1_30_amount,
           sum(v.open_balance) FILTER (WHERE today.local - v.due_on BETWEEN 31 AND 60)
                                                                         AS days_31_60_amount,
           sum(v.open_balance) FILTER (WHERE today.local - v.due_on BETWEEN 61 AND 90)
                                                                         AS days_61_90_amount,
           sum(v.open_balance) FILTER (WHERE today.local - v.due_on > 90) AS over_90_amount,
           sum(v.open_balance)                                           AS open_amount
    FROM hs.invoice AS v
    CROSS JOIN (SELECT tenant_mgmt.today() AS local) AS today
    WHERE v.business_id = %(business_id)s
      AND v.open_balance > 0
      AND v.status <> 'written_off'
    GROUP BY v.business_id, v.customer_id
) AS i
JOIN hs.customer AS c ON c.business_id = i.business_id AND c.customer_id = i.customer_id
WHERE c.business_id = %(business_id)s
ORDER BY i.open_amount DESC, i.customer_id
LIMIT 200;
