-- A shopper presses Place order: prices, promotions, tax and stock in one transaction, once.
-- budget: p95 250ms
-- weight: 4
-- mode: write
-- rows: >=0
-- params: cart_id from ret.cart where state = 'active' and cart_kind = 'online' and item_count > 0
-- values: idempotency = text('order_')
SELECT c.business_id, ret.place_order(c.cart_id, %(idempotency)s) AS sales_order_id
FROM (
    SELECT x.business_id, x.cart_id
    FROM ret.cart AS x
    WHERE x.business_id = %(business_id)s AND x.cart_id = %(cart_id)s AND x.state = 'active'
    FOR NO KEY UPDATE
) AS c
