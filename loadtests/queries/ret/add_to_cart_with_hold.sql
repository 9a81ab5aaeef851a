-- A shopper takes one more of what is in the cart: priced anew and held, while somebody has it.
-- budget: p95 120ms
-- weight: 8
-- mode: write
-- rows: >=0
-- params: cart_id from ret.cart where state = 'active' and cart_kind = 'online' and item_count > 0
SELECT c.business_id,
       ret.add_to_cart(c.cart_id, l.product_variant_id, 1, l.fulfilment_choice) AS cart_line_id
FROM (
    SELECT x.business_id, x.cart_id, x.sales_channel_id, x.pickup_location_id
    FROM ret.cart AS x
    WHERE x.business_id = %(business_id)s AND x.cart_id = %(cart_id)s AND x.state = 'active'
    FOR NO KEY UPDATE
) AS c
CROSS JOIN LATERAL (
    SELECT x.product_variant_id, x.fulfilment_choice, x.quantity
    FROM ret.cart_line AS x
    WHERE x.business_id = %(business_id)s AND x.cart_id = c.cart_id
    ORDER BY x.line_number
    LIMIT 1
) AS l
CROSS JOIN LATERAL (
    SELECT max(a.atp_qty) AS atp_qty
    FROM ret.available_to_promise(
        l.product_variant_id, c.sales_channel_id,
        CASE WHEN l.fulfilment_choice = 'pickup' THEN ARRAY[c.pickup_location_id] END) AS a
    WHERE a.earliest_at <= now()
) AS a
WHERE a.atp_qty >= l.quantity + 20
