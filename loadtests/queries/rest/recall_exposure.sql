-- A manager opens a recall: what is left of each lot, and the dishes, orders and guests that had it.
-- budget: p95 300ms
-- weight: 1
-- mode: read
-- rows: >=1
-- growth: linear, every dish that a recalled lot reached stands in it
-- params: product_recall_id from rest.product_recall
WITH lot AS (
    SELECT r.business_id, r.recall_lot_id, r.stock_lot_id, r.disposition, l.lot_code,
           l.traceability_lot_code, l.status, l.remaining_qty
    FROM rest.recall_lot AS r
    JOIN rest.stock_lot AS l
        ON l.business_id = %(business_id)s AND l.stock_lot_id = r.stock_lot_id
    WHERE r.business_id = %(business_id)s AND r.product_recall_id = %(product_recall_id)s
)
SELECT t.business_id, t.lot_code, t.traceability_lot_code, t.status, t.disposition,
       t.remaining_qty, count(DISTINCT e.guest_order_id) AS orders,
       count(DISTINCT e.guest_profile_id) AS guests, min(e.served_at) AS first_served_at,
       max(e.served_at) AS last_served_at,
       jsonb_agg(jsonb_build_object('dish', e.dish, 'order', e.order_number,
                                    'guest', g.display_name, 'served_at', e.served_at)
                 ORDER BY e.served_at DESC, e.check_item_id)
           FILTER (WHERE e.check_item_id IS NOT NULL) AS served
FROM lot AS t
LEFT JOIN rest.recall_exposure(%(product_recall_id)s) AS e ON e.recall_lot_id = t.recall_lot_id
LEFT JOIN rest.guest_profile AS g
    ON g.business_id = %(business_id)s AND g.guest_profile_id = e.guest_profile_id
GROUP BY t.business_id, t.recall_lot_id, t.lot_code, t.traceability_lot_code, t.status,
         t.disposition, t.remaining_qty
