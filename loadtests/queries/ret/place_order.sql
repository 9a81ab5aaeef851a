-- A shopper presses Place order: prices, promotions, tax and stock in one transaction, once.
-- budget: p95 250ms
-- weight: 4
-- mode: write
-- rows: >=0
-- params: cart_id from ret.cart where state = 'active' and cart_kind = 'online' and item_count > 0
-- values: idempotency = text('order_')
SELECT c.business_id, ret.place_order(c.cart_id, %(idempotency)s) AS sales_order_id
FROM ret.cart AS c
WHERE c.business_id = %(business_id)s AND c.cart_id = %(cart_id)s AND c.state = 'active'
