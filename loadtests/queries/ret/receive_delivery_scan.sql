-- A dock worker scans a carton: its lines are received, with what was ordered and what is on hand.
-- budget: p95 120ms
-- weight: 4
-- mode: write
-- rows: >=1
-- params: asn_package_id from ret.asn_package where package_kind = 'carton' AND EXISTS (SELECT FROM ret.goods_receipt AS r WHERE r.business_id = asn_package.business_id AND r.advance_ship_notice_id = asn_package.advance_ship_notice_id AND r.state = 'checking') AND EXISTS (SELECT FROM ret.asn_line AS l WHERE l.business_id = asn_package.business_id AND l.asn_package_id = asn_package.asn_package_id)
-- values: serial = random_int(1000000000000000, 9999999999999999)
WITH announced AS (
    -- A carton is received once, so each has one of its own, like one of the same delivery.
    INSERT INTO ret.asn_package
        (business_id, advance_ship_notice_id, sscc, package_kind, sequence_no)
    SELECT p.business_id, p.advance_ship_notice_id,
           '1' || %(serial)s::text || (10 - s.weighted %% 10) %% 10, p.package_kind,
           p.sequence_no
    FROM ret.asn_package AS p
    CROSS JOIN (
        SELECT sum(substr('1' || %(serial)s::text, n.place, 1)::integer
                   * CASE n.place %% 2 WHEN 1 THEN 3 ELSE 1 END) AS weighted
        FROM generate_series(1, 17) AS n (place)
    ) AS s
    WHERE p.business_id = %(business_id)s AND p.asn_package_id = %(asn_package_id)s
    RETURNING business_id, asn_package_id, advance_ship_notice_id, sscc
), packed AS (
    INSERT INTO ret.asn_line
        (business_id, asn_package_id, purchase_order_line_id, product_variant_id, line_number,
         gtin, shipped_qty)
    SELECT a.business_id, a.asn_package_id, l.purchase_order_line_id, l.product_variant_id,
           l.line_number, l.gtin, 1
    FROM announced AS a
    JOIN ret.asn_line AS l
        ON l.business_id = %(business_id)s AND l.asn_package_id = %(asn_package_id)s
    RETURNING asn_line_id
), scanned AS MATERIALIZED (
    -- Received once, by the receipt that checks its delivery, in whatever order tables are joined.
    SELECT r.goods_receipt_id, r.location_id, a.sscc
    FROM announced AS a
    JOIN ret.goods_receipt AS r
        ON r.business_id = %(business_id)s
       AND r.advance_ship_notice_id = a.advance_ship_notice_id AND r.state = 'checking'
    WHERE (SELECT count(*) FROM packed) > 0
)
SELECT g.business_id, g.goods_receipt_line_id, g.line_number, v.sku, v.title, g.received_qty,
       g.discrepancy, o.ordered_qty, o.received_qty AS received_before, s.on_hand_qty,
       s.incoming_qty
FROM scanned AS c
CROSS JOIN LATERAL ret.receive_package(c.goods_receipt_id, c.sscc) AS g
JOIN ret.product_variant AS v
    ON v.business_id = %(business_id)s AND v.product_variant_id = g.product_variant_id
LEFT JOIN ret.purchase_order_line AS o
    ON o.business_id = %(business_id)s AND o.purchase_order_line_id = g.purchase_order_line_id
LEFT JOIN ret.stock_level AS s
    ON s.business_id = %(business_id)s AND s.location_id = c.location_id
   AND s.product_variant_id = g.product_variant_id AND s.consignment_agreement_id IS NULL
ORDER BY g.line_number
