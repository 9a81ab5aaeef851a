-- A picker's device shows the next orders of the store with their goods and bins.
-- budget: p95 80ms
-- weight: 10
-- mode: read
-- rows: >=1
-- params: location_id from ret.fulfilment_order where state in ('open', 'in_progress', 'picking')
SELECT f.business_id, f.fulfilment_number, f.method, f.state, f.priority_no, f.promise_at,
       (SELECT jsonb_agg(jsonb_build_object(
                   'sku', i.sku_sold, 'title', i.product_title, 'quantity', l.quantity,
                   'picked', l.picked_qty, 'bin', b.bin_code, 'walk', p.walk_sequence)
               ORDER BY p.walk_sequence, i.line_number)
        FROM ret.fulfilment_order_line AS l
        JOIN ret.sales_order_line AS i
            ON i.business_id = %(business_id)s AND i.sales_order_line_id = l.sales_order_line_id
        LEFT JOIN ret.pick_list_line AS p
            ON p.business_id = %(business_id)s
           AND p.fulfilment_order_line_id = l.fulfilment_order_line_id
        LEFT JOIN ret.pick_list AS k
            ON k.business_id = %(business_id)s AND k.pick_list_id = p.pick_list_id
           AND k.state <> 'cancelled'
        LEFT JOIN ret.bin_location AS b
            ON b.business_id = %(business_id)s AND b.bin_location_id = p.bin_location_id
        WHERE l.business_id = %(business_id)s AND l.fulfilment_order_id = f.fulfilment_order_id
          AND l.state = 'open') AS stops
FROM ret.fulfilment_order AS f
WHERE f.business_id = %(business_id)s AND f.location_id = %(location_id)s
  AND f.state IN ('open', 'in_progress', 'picking')
ORDER BY f.priority_no, f.promise_at, f.fulfilment_order_id
LIMIT 20
