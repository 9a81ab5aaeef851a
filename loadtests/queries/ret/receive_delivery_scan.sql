-- A dock worker scans a carton: its lines are received, with what was ordered and what is on hand.
-- budget: p95 120ms
-- weight: 4
-- mode: write
-- rows: >=0
-- own: sscc
-- params: sscc from ret.asn_package where label_scanned_at IS NULL AND package_kind = 'carton' AND EXISTS (SELECT FROM ret.goods_receipt AS r WHERE r.business_id = asn_package.business_id AND r.advance_ship_notice_id = asn_package.advance_ship_notice_id AND r.state = 'checking')
SELECT g.business_id, g.goods_receipt_line_id, g.line_number, v.sku, v.title, g.received_qty,
       g.discrepancy, o.ordered_qty, o.received_qty AS received_before, s.on_hand_qty,
       s.incoming_qty
FROM ret.asn_package AS p
JOIN ret.goods_receipt AS r
    ON r.business_id = %(business_id)s AND r.advance_ship_notice_id = p.advance_ship_notice_id
   AND r.state = 'checking'
CROSS JOIN LATERAL ret.receive_package(r.goods_receipt_id, p.sscc) AS g
JOIN ret.product_variant AS v
    ON v.business_id = %(business_id)s AND v.product_variant_id = g.product_variant_id
LEFT JOIN ret.purchase_order_line AS o
    ON o.business_id = %(business_id)s AND o.purchase_order_line_id = g.purchase_order_line_id
LEFT JOIN ret.stock_level AS s
    ON s.business_id = %(business_id)s AND s.location_id = r.location_id
   AND s.product_variant_id = g.product_variant_id AND s.consignment_agreement_id IS NULL
WHERE p.business_id = %(business_id)s AND p.sscc = %(sscc)s AND p.label_scanned_at IS NULL
ORDER BY g.line_number
