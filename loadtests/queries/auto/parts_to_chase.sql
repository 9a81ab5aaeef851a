-- The parts desk opens what blocks the cars of a shop, what breaks a promise first.
-- budget: p95 150ms
-- weight: 4
-- mode: read
-- rows: >=0
-- params: shop_id from auto.shop
SELECT c.business_id, c.ro_number, c.job_name, c.po_number, c.line_status, c.outstanding_qty,
       c.part_number, c.part_description, c.supplier_name, c.eta_at, c.is_overdue,
       c.breaks_promise, c.minutes_after_promise, c.alternative_count, c.alternative_best_cost,
       c.alternative_first_eta_at
FROM auto.v_parts_to_chase AS c
WHERE c.business_id = %(business_id)s AND c.shop_id = %(shop_id)s
ORDER BY c.breaks_promise DESC, c.is_overdue DESC, c.promised_to_customer_at,
         c.purchase_order_line_id
LIMIT 100
