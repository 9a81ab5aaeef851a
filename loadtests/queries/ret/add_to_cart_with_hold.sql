-- A shopper puts what there is on the shelf into a cart: priced, and held for them a while.
-- budget: p95 120ms
-- weight: 8
-- mode: write
-- rows: >=1
-- params: cart_id from ret.cart where cart_kind = 'online' and customer_id is not null
-- params: product_variant_id from ret.stock_level where available_qty > 20 and consignment_agreement_id is null
-- values: token = text('cart_')
WITH begun AS (
    -- What is held in one cart is there for no other, so each has one of its own, like one that
    -- there was.
    INSERT INTO ret.cart (business_id, sales_channel_id, customer_id, cart_token, currency)
    SELECT c.business_id, c.sales_channel_id, c.customer_id, %(token)s, c.currency
    FROM ret.cart AS c
    WHERE c.business_id = %(business_id)s AND c.cart_id = %(cart_id)s
    RETURNING business_id, cart_id, sales_channel_id
)
SELECT b.business_id, ret.add_to_cart(b.cart_id, v.product_variant_id) AS cart_line_id
FROM begun AS b
CROSS JOIN LATERAL (
    -- What was drawn, or what others have in their carts where it was bought meanwhile.
    SELECT x.product_variant_id
    FROM (
        SELECT 0 AS place, %(product_variant_id)s::uuid AS product_variant_id
        UNION ALL
        (SELECT l.line_number, l.product_variant_id
         FROM ret.cart_line AS l
         WHERE l.business_id = %(business_id)s AND l.cart_id = %(cart_id)s
         ORDER BY l.line_number
         LIMIT 1)
    ) AS x
    CROSS JOIN LATERAL (
        SELECT max(p.atp_qty) AS atp_qty
        FROM ret.available_to_promise(x.product_variant_id, b.sales_channel_id) AS p
        WHERE p.earliest_at <= now()
    ) AS p
    WHERE p.atp_qty >= 1
    ORDER BY x.place
    LIMIT 1
) AS v
-- On a cluster, the node that has the cart answers.
JOIN ret.cart AS c ON c.business_id = %(business_id)s AND c.cart_id = %(cart_id)s
