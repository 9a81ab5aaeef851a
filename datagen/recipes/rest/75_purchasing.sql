SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

INSERT INTO rest.vendor
    (business_id, vendor_id, vendor_code, legal_name, vendor_kind, order_method, account_number,
     payment_terms_days, minimum_order_amount, order_cutoff_time, delivery_weekday_mask,
     lead_days, approved_until_on, rating_score, status)
SELECT %(business_id)s, md5(%(business_id)s::uuid || v.code)::uuid, v.code, v.name, v.kind, v.method,
       'A-' || (4000 + v.place * 37), v.terms, v.least, '16:00', v.days, 1,
       (%(as_of)s)::date + 200, 3.5 + v.place %% 4 * 0.4, v.status
FROM (VALUES
    (1, 'LAKE', 'Lakeside Foodservice Inc.', 'broadline', 'edi', 30, 250, 42, 'approved'),
    (2, 'GREEN', 'Green Market Produce LLC', 'produce', 'portal', 14, 100, 63, 'approved'),
    (3, 'PRIME', 'Prime Cut Meats Co.', 'meat', 'email', 21, 200, 21, 'approved'),
    (4, 'HARBOR', 'Harbor Fish Company', 'seafood', 'phone', 14, 150, 26, 'approved'),
    (5, 'BOXES', 'Box and Bag Supply', 'packaging', 'portal', 30, 0, 4, 'approved'),
    (6, 'CELLAR', 'North Cellar Beverages', 'beverage', 'email', 30, 300, 8, 'trial'),
    (7, 'OLDMILL', 'Old Mill Bakery', 'bakery', 'phone', 7, 0, 127, 'on_hold')
) AS v (place, code, name, kind, method, terms, least, days, status);

-- The first five share the items; one in four is sold by a second vendor too.
INSERT INTO rest.vendor_item
    (business_id, vendor_item_id, pack_unit_id, vendor_id, inventory_item_id, vendor_sku,
     description, brand_name, pack_count, pack_size, stock_qty_per_pack, current_price,
     is_preferred)
SELECT i.business_id, md5(i.inventory_item_id || v.vendor_code)::uuid, i.stock_unit_id,
       v.vendor_id, i.inventory_item_id, v.vendor_code || '-' || i.item_code,
       i.display_name || ', 2 x 5', 'House', 2, 5, 10,
       greatest(round(10 * i.average_cost * (1 + 0.04 * n.turn), 2), 1), n.turn = 0
FROM (
    SELECT x.*, ('x' || substr(md5(x.item_code || 'vendor'), 1, 7))::bit(28)::integer AS place
    FROM rest.inventory_item AS x
    WHERE x.business_id = %(business_id)s AND x.is_active
) AS i
CROSS JOIN (VALUES (0), (1)) AS n (turn)
JOIN (
    SELECT x.vendor_id, x.vendor_code, row_number() OVER (ORDER BY x.vendor_code) AS turn
    FROM rest.vendor AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'approved'
) AS v ON v.turn = 1 + (i.place + n.turn) %% 5
WHERE n.turn = 0 OR i.place %% 4 = 0;

INSERT INTO rest.vendor_item_price
    (business_id, vendor_item_price_id, vendor_item_id, price, currency, price_kind, min_packs,
     change_pct, source, effective_from, effective_to)
SELECT i.business_id, md5(i.vendor_item_id || 'price' || n.turn)::uuid, i.vendor_item_id,
       CASE n.turn WHEN 0 THEN round(i.current_price / 1.03, 2) ELSE i.current_price END, 'USD',
       'contract', 1, CASE n.turn WHEN 1 THEN 3 END, 'price_file',
       (%(as_of)s)::date - CASE n.turn WHEN 0 THEN 180 ELSE 60 END,
       CASE n.turn WHEN 0 THEN (%(as_of)s)::date - 61 END
FROM rest.vendor_item AS i
CROSS JOIN (VALUES (0), (1)) AS n (turn)
WHERE i.business_id = %(business_id)s;

-- Six weeks of orders for the first site, one a vendor and week, on its first delivery weekday;
-- the last is still to come.
INSERT INTO rest.purchase_order
    (business_id, purchase_order_id, ordered_by_staff_id, location_id, vendor_id, po_number,
     order_source, state, ordered_at, confirmed_at, requested_delivery_on, delivered_on, currency,
     freight_total)
SELECT v.business_id, md5(v.vendor_id || 'order' || w.week)::uuid, s.staff_member_id,
       l.location_id, v.vendor_id, 'PO-' || v.vendor_code || '-' || to_char(d.day, 'YYMMDD'),
       CASE w.week %% 3 WHEN 0 THEN 'manual' ELSE 'par_suggestion' END,
       CASE WHEN d.day >= (%(as_of)s)::date THEN 'submitted' ELSE 'received' END,
       t.ordered, CASE WHEN d.day < (%(as_of)s)::date THEN t.ordered + interval '2 hours' END,
       d.day, CASE WHEN d.day < (%(as_of)s)::date THEN d.day END, 'USD', 0
FROM rest.vendor AS v
CROSS JOIN generate_series(0, 5) AS w (week)
CROSS JOIN LATERAL (
    SELECT min(x.day::date) AS day
    FROM generate_series((%(as_of)s)::date + 1 - 7 * w.week, (%(as_of)s)::date + 7 - 7 * w.week,
                         interval '1 day') AS x (day)
    WHERE (v.delivery_weekday_mask >> (extract(isodow FROM x.day)::integer - 1)) & 1 = 1
) AS d
CROSS JOIN LATERAL (
    SELECT least(d.day::timestamp AT TIME ZONE 'UTC' - interval '32 hours',
                 (%(as_of)s)::timestamptz - interval '3 hours') AS ordered
) AS t
CROSS JOIN (
    SELECT x.location_id
    FROM rest.location AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.location_code
    LIMIT 1
) AS l
CROSS JOIN (
    SELECT x.staff_member_id
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
    ORDER BY x.employee_number
    LIMIT 1
) AS s
WHERE v.business_id = %(business_id)s
  AND EXISTS (SELECT FROM rest.vendor_item AS i
              WHERE i.business_id = v.business_id AND i.vendor_id = v.vendor_id);

INSERT INTO rest.purchase_order_line
    (business_id, purchase_order_line_id, purchase_order_id, vendor_item_id, line_number,
     suggested_packs, ordered_packs, confirmed_packs, pack_price)
SELECT o.business_id, md5(o.purchase_order_id || 'line' || i.vendor_item_id)::uuid,
       o.purchase_order_id, i.vendor_item_id, i.place, n.packs, n.packs,
       CASE WHEN o.state <> 'submitted' THEN n.packs END,
       CASE WHEN o.ordered_at < (%(as_of)s)::timestamptz - interval '60 days'
            THEN round(i.current_price / 1.03, 2) ELSE i.current_price END
FROM rest.purchase_order AS o
JOIN (
    SELECT x.*, row_number() OVER (PARTITION BY x.vendor_id ORDER BY x.vendor_sku) AS place
    FROM rest.vendor_item AS x
    WHERE x.business_id = %(business_id)s
) AS i ON i.vendor_id = o.vendor_id AND i.place <= 12
CROSS JOIN LATERAL (
    SELECT 2 + ('x' || substr(md5(o.purchase_order_id || i.vendor_sku), 1, 7))::bit(28)::integer
               %% 5 AS packs
) AS n
WHERE o.business_id = %(business_id)s;

UPDATE rest.vendor_item AS i
SET last_ordered_on = n.day
FROM (
    SELECT l.vendor_item_id, max(o.ordered_at)::date AS day
    FROM rest.purchase_order_line AS l
    JOIN rest.purchase_order AS o
        ON o.business_id = l.business_id AND o.purchase_order_id = l.purchase_order_id
    WHERE l.business_id = %(business_id)s
    GROUP BY l.vendor_item_id
) AS n
WHERE i.business_id = %(business_id)s AND i.vendor_item_id = n.vendor_item_id;

INSERT INTO rest.goods_receipt
    (business_id, goods_receipt_id, received_by_staff_id, vendor_id, location_id,
     purchase_order_id, receipt_number, received_at, delivery_note_number, truck_temp_c,
     driver_name, carton_count, condition_ok, state)
SELECT o.business_id, md5(o.purchase_order_id || 'receipt')::uuid, o.ordered_by_staff_id,
       o.vendor_id, o.location_id, o.purchase_order_id, 'GR' || substr(o.po_number, 3),
       o.delivered_on::timestamp AT TIME ZONE 'UTC' + interval '13 hours',
       'DN' || substr(o.po_number, 3), 2.5, 'Driver ' || substr(o.po_number, 4, 3), 12, true,
       'checking'
FROM rest.purchase_order AS o
WHERE o.business_id = %(business_id)s AND o.state = 'received';

-- Four lines in a hundred come short, one is too warm and goes back.
INSERT INTO rest.goods_receipt_line
    (business_id, goods_receipt_line_id, goods_receipt_id, inventory_item_id,
     purchase_order_line_id, reject_reason_id, line_number, received_packs, accepted_packs,
     rejected_packs, stock_qty, unit_cost, product_temp_c, temp_limit_c, use_by_on,
     traceability_lot_code, discrepancy)
SELECT g.business_id, md5(p.purchase_order_line_id || 'received')::uuid, g.goods_receipt_id,
       i.inventory_item_id, p.purchase_order_line_id, NULL, p.line_number, n.came,
       CASE WHEN n.is_warm THEN 0 ELSE n.came END, CASE WHEN n.is_warm THEN n.came ELSE 0 END,
       CASE WHEN n.is_warm THEN 0 ELSE n.came * i.stock_qty_per_pack END,
       p.pack_price / i.stock_qty_per_pack,
       CASE WHEN n.is_warm THEN 9.5
            WHEN c.storage_temp_class = 'frozen' THEN -19
            WHEN c.storage_temp_class = 'chilled' THEN 3 END,
       CASE WHEN c.storage_temp_class = 'frozen' THEN -15
            WHEN n.is_warm OR c.storage_temp_class = 'chilled' THEN 5 END,
       g.received_at::date + coalesce(c.shelf_life_days, 30),
       'TLC-' || substr(md5(p.purchase_order_line_id::text), 1, 10),
       CASE WHEN n.is_warm THEN 'warm' WHEN n.came < p.ordered_packs THEN 'short'
            ELSE 'none' END
FROM rest.goods_receipt AS g
JOIN rest.purchase_order_line AS p
    ON p.business_id = g.business_id AND p.purchase_order_id = g.purchase_order_id
JOIN rest.vendor_item AS i
    ON i.business_id = p.business_id AND i.vendor_item_id = p.vendor_item_id
JOIN rest.inventory_item AS c
    ON c.business_id = i.business_id AND c.inventory_item_id = i.inventory_item_id
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5(p.purchase_order_line_id || 'came'), 1, 7))::bit(28)::integer
           %% 100 AS chance
) AS x
CROSS JOIN LATERAL (
    SELECT CASE WHEN x.chance BETWEEN 1 AND 4 THEN p.ordered_packs - 1
                ELSE p.ordered_packs END AS came, x.chance = 0 AS is_warm
) AS n
WHERE g.business_id = %(business_id)s;

UPDATE rest.purchase_order_line AS p
SET received_packs = l.accepted_packs,
    state = CASE WHEN l.accepted_packs >= p.ordered_packs THEN 'received' ELSE 'short' END
FROM rest.goods_receipt_line AS l
WHERE p.business_id = %(business_id)s
  AND l.business_id = p.business_id AND l.purchase_order_line_id = p.purchase_order_line_id;

UPDATE rest.goods_receipt AS g
SET total_value = n.total,
    state = CASE WHEN n.issues THEN 'accepted_with_issues' ELSE 'accepted' END
FROM (
    SELECT l.goods_receipt_id, round(sum(l.stock_qty * l.unit_cost), 2) AS total,
           bool_or(l.discrepancy <> 'none') AS issues
    FROM rest.goods_receipt_line AS l
    WHERE l.business_id = %(business_id)s
    GROUP BY l.goods_receipt_id
) AS n
WHERE g.business_id = %(business_id)s AND g.goods_receipt_id = n.goods_receipt_id
  AND g.state = 'checking';

-- The invoice bills what was ordered; one line in thirty at another price.
INSERT INTO rest.vendor_invoice
    (business_id, vendor_invoice_id, vendor_id, location_id, goods_receipt_id, invoice_number,
     invoice_kind, invoice_date, due_date, currency, variance_limit, ocr_confidence)
SELECT g.business_id, md5(g.goods_receipt_id || 'invoice')::uuid, g.vendor_id, g.location_id,
       g.goods_receipt_id, 'INV' || substr(g.receipt_number, 3), 'invoice', g.received_at::date,
       g.received_at::date + v.payment_terms_days, 'USD', 5, 0.97
FROM rest.goods_receipt AS g
JOIN rest.vendor AS v ON v.business_id = g.business_id AND v.vendor_id = g.vendor_id
WHERE g.business_id = %(business_id)s;

INSERT INTO rest.vendor_invoice_line
    (business_id, vendor_invoice_line_id, vendor_invoice_id, goods_receipt_line_id,
     vendor_item_id, inventory_category_id, line_number, description, billed_packs, billed_price)
SELECT v.business_id, md5(l.goods_receipt_line_id || 'billed')::uuid, v.vendor_invoice_id,
       l.goods_receipt_line_id, p.vendor_item_id, c.inventory_category_id, l.line_number,
       i.description, p.ordered_packs,
       CASE WHEN ('x' || substr(md5(l.goods_receipt_line_id || 'p'), 1, 7))::bit(28)::integer
                 %% 30 = 0
            THEN round(p.pack_price * 1.05, 2) ELSE p.pack_price END
FROM rest.vendor_invoice AS v
JOIN rest.goods_receipt_line AS l
    ON l.business_id = v.business_id AND l.goods_receipt_id = v.goods_receipt_id
JOIN rest.purchase_order_line AS p
    ON p.business_id = l.business_id AND p.purchase_order_line_id = l.purchase_order_line_id
JOIN rest.vendor_item AS i
    ON i.business_id = p.business_id AND i.vendor_item_id = p.vendor_item_id
JOIN rest.inventory_item AS c
    ON c.business_id = i.business_id AND c.inventory_item_id = i.inventory_item_id
WHERE v.business_id = %(business_id)s;

SELECT rest.match_invoice(v.vendor_invoice_id)
FROM rest.vendor_invoice AS v
WHERE v.business_id = %(business_id)s
ORDER BY v.invoice_number;

UPDATE rest.vendor_invoice AS v
SET match_state = 'approved', paid_on = CASE WHEN v.due_date < (%(as_of)s)::date
                                             THEN v.due_date END
WHERE v.business_id = %(business_id)s AND v.match_state = 'matched'
  AND v.invoice_date < (%(as_of)s)::date - 3;
