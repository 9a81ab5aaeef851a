-- A shopper fills a cart and presses Place order: prices, promotions, tax and stock, once.
-- budget: p95 250ms
-- weight: 4
-- mode: write
-- rows: >=1
-- params: cart_id from ret.cart where cart_kind = 'online' and customer_id is not null
-- params: product_variant_id from ret.stock_level where available_qty > 20 and consignment_agreement_id is null
-- values: idempotency = text('order_')
WITH begun AS (
    -- An order uses its cart up, so each has one of its own, like one that there was.
    INSERT INTO ret.cart (business_id, sales_channel_id, customer_id, cart_token, currency)
    SELECT c.business_id, c.sales_channel_id, c.customer_id, %(idempotency)s, c.currency
    FROM ret.cart AS c
    WHERE c.business_id = %(business_id)s AND c.cart_id = %(cart_id)s
    RETURNING business_id, cart_id, sales_channel_id
), filled AS (
    SELECT b.business_id, b.cart_id,
           count(ret.add_to_cart(b.cart_id, a.product_variant_id)) AS line_count
    FROM begun AS b
    CROSS JOIN LATERAL (
        SELECT v.product_variant_id
        FROM (
            SELECT %(product_variant_id)s::uuid AS product_variant_id
            UNION
            (SELECT x.product_variant_id
             FROM ret.cart_line AS x
             WHERE x.business_id = %(business_id)s AND x.cart_id = %(cart_id)s
             ORDER BY x.line_number
             LIMIT 1)
        ) AS v
        CROSS JOIN LATERAL (
            SELECT max(p.atp_qty) AS atp_qty
            FROM ret.available_to_promise(v.product_variant_id, b.sales_channel_id) AS p
            WHERE p.earliest_at <= now()
        ) AS p
        WHERE p.atp_qty >= 10
    ) AS a
    GROUP BY b.business_id, b.cart_id
)
SELECT f.business_id, ret.place_order(f.cart_id, %(idempotency)s) AS sales_order_id
FROM filled AS f
-- On a cluster, the node that has the cart answers.
JOIN ret.cart AS c ON c.business_id = %(business_id)s AND c.cart_id = %(cart_id)s
WHERE f.line_count > 0
