-- The board on the wall of a shop: what stands in it, the nearest promise first.
-- budget: p95 150ms
-- weight: 8
-- mode: read
-- rows: >=0
-- params: shop_id from auto.shop
SELECT b.business_id,
       b.repair_order_id,
       b.ro_number,
       b.status,
       b.order_kind,
       b.promised_at,
       b.is_late,
       b.key_tag,
       b.customer_name,
       b.advisor_name,
       b.bay_code,
       b.grand_total,
       b.authorized_amount,
       b.minutes_in_state,
       b.jobs,
       b.jobs_done,
       b.jobs_undecided,
       b.technicians,
       b.parts_waiting
FROM auto.v_shop_board AS b
WHERE b.business_id = %(business_id)s
  AND b.shop_id = %(shop_id)s
ORDER BY b.promised_at NULLS LAST, b.repair_order_id
LIMIT 200;
