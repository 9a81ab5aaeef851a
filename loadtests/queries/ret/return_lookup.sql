-- The return desk scans a receipt: what may still come back, on which terms and for how much.
-- budget: p95 100ms
-- weight: 4
-- mode: read
-- rows: >=1
-- params: receipt_number from ret.pos_transaction where transaction_kind = 'sale'
SELECT t.business_id, t.receipt_number, o.order_number, o.placed_at, h.channel_kind,
       l.line_number, l.product_title, l.sku_sold, n.still_returnable, n.unit_refund,
       trunc(n.unit_tax * n.still_returnable, 2) AS tax_refund,
       n.still_returnable * n.unit_refund + trunc(n.unit_tax * n.still_returnable, 2) AS worth,
       coalesce(a.offers, 0) AS taken_off, p.policy_code, p.refund_methods, p.restocking_fee_pct,
       greatest(o.placed_at + p.window_days * interval '1 day', p.holiday_extension_until)
           AS returnable_until,
       (SELECT jsonb_agg(jsonb_build_object('tender', y.tender, 'last4', y.card_last4,
                                            'left', y.captured_amount - y.refunded_amount)
                         ORDER BY y.captured_at)
        FROM ret.payment AS y
        WHERE y.business_id = %(business_id)s AND y.sales_order_id = o.sales_order_id
          AND y.captured_amount > y.refunded_amount) AS payments
FROM ret.pos_transaction AS t
JOIN ret.sales_order AS o
    ON o.business_id = %(business_id)s AND o.sales_order_id = t.sales_order_id
JOIN ret.sales_channel AS h
    ON h.business_id = %(business_id)s AND h.sales_channel_id = o.sales_channel_id
JOIN LATERAL ret.returnable_lines(o.sales_order_id) AS n ON true
JOIN ret.sales_order_line AS l
    ON l.business_id = %(business_id)s AND l.sales_order_line_id = n.sales_order_line_id
LEFT JOIN LATERAL (
    SELECT -sum(x.amount) AS offers
    FROM ret.order_adjustment AS x
    WHERE x.business_id = %(business_id)s AND x.sales_order_line_id = l.sales_order_line_id
      AND x.state = 'applied'
) AS a ON true
LEFT JOIN LATERAL (
    SELECT x.*
    FROM ret.return_policy AS x
    WHERE x.business_id = %(business_id)s AND x.is_active AND x.category_id IS NULL
      AND coalesce(x.sales_channel_id, o.sales_channel_id) = o.sales_channel_id
    ORDER BY x.sales_channel_id IS NULL, x.window_days DESC, x.policy_code
    LIMIT 1
) AS p ON true
WHERE t.business_id = %(business_id)s AND t.receipt_number = %(receipt_number)s
ORDER BY l.line_number
