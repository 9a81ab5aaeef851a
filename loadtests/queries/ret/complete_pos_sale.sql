-- A cashier takes the card and the receipt prints: order, tax, payment, stock and points at once.
-- budget: p95 180ms
-- weight: 10
-- mode: write
-- rows: >=0
-- params: stock_level_id from ret.stock_level where available_qty > 3 and location_id in (select r.location_id from ret.register as r join ret.register_session as s using (business_id, register_id) where s.state = 'open')
-- params: loyalty_account_id from ret.loyalty_account where state = 'active'
-- values: key = uuid()
-- values: reference = text('ch_')
-- values: turn = random_int(0, 1000)
SELECT t.business_id,
       ret.complete_pos_sale(
           t.register_session_id,
           jsonb_build_object('key', %(key)s::text, 'customer', t.customer_id,
                              'lines', jsonb_build_array(jsonb_build_object(
                                  'variant', t.product_variant_id, 'quantity', 1))),
           jsonb_build_array(jsonb_build_object('tender', 'card', 'brand', 'visa',
                                                'last4', '4242',
                                                'reference', %(reference)s::text)))
           AS sales_order_id
FROM (
    SELECT s.business_id, s.register_session_id, k.product_variant_id, a.customer_id
    FROM ret.stock_level AS k
    JOIN ret.loyalty_account AS a
        ON a.business_id = %(business_id)s AND a.loyalty_account_id = %(loyalty_account_id)s
    JOIN ret.register AS r
        ON r.business_id = %(business_id)s AND r.location_id = k.location_id
    JOIN ret.register_session AS s
        ON s.business_id = %(business_id)s AND s.register_id = r.register_id AND s.state = 'open'
    WHERE k.business_id = %(business_id)s AND k.stock_level_id = %(stock_level_id)s
      AND k.available_qty > 1
    ORDER BY md5(s.register_session_id::text || %(turn)s::integer)
    LIMIT 1
) AS t
