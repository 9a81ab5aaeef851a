SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

INSERT INTO ret.price_book
    (business_id, price_book_id, fallback_book_id, book_code, display_name, book_kind, currency,
     is_tax_inclusive, rounding_rule, priority_no, effective_from, effective_to, state,
     created_at, updated_at)
SELECT b.business_id, md5('book ' || v.code || b.business_id)::uuid,
       CASE WHEN v.falls_back THEN md5('book BASE' || b.business_id)::uuid END,
       v.code, v.title, v.kind, b.currency_code, b.country_code <> 'US', v.rounding, v.priority,
       %(as_of)s::date - v.age, CASE WHEN v.state = 'archived' THEN %(as_of)s::date - 152 END,
       v.state, %(as_of)s::timestamptz - v.age * interval '1 day',
       %(as_of)s::timestamptz - v.age * interval '1 day'
FROM tenant_mgmt.business AS b
CROSS JOIN (
    VALUES ('BASE', 'Base prices', 'base', 'end_99', 100, 900, 'active', false),
           ('MARKET', 'Marketplace', 'channel', 'end_99', 50, 600, 'active', true),
           ('APP', 'App deals', 'channel', 'end_99', 40, 200, 'active', true),
           ('WHOLESALE', 'Wholesale', 'customer', 'none', 20, 900, 'active', true),
           ('TRADE', 'Trade customers', 'customer', 'end_95', 30, 700, 'active', true),
           ('STAFF', 'Staff', 'staff', 'whole', 10, 500, 'active', false),
           ('CLEARANCE', 'Clearance', 'clearance', 'end_99', 60, 400, 'active', false),
           ('LAST-YEAR', 'Web prices of last year', 'channel', 'end_99', 90, 520, 'archived', true)
) AS v (code, title, kind, rounding, priority, age, state, falls_back)
WHERE b.business_id = %(business_id)s
ORDER BY v.code <> 'BASE', v.code;

-- Every variant has a base price; a fifth cost a little less until some months ago.
INSERT INTO ret.price_book_entry
    (business_id, price_book_entry_id, price_book_id, product_variant_id, min_qty, price,
     compare_at_price, floor_price, effective_from, effective_to, source, margin_pct,
     approved_at, created_at, updated_at)
SELECT v.business_id, md5('entry ' || e.code || e.min_qty || e.days_from || v.sku)::uuid,
       b.price_book_id, v.product_variant_id, e.min_qty, p.price,
       CASE WHEN e.code = 'CLEARANCE' THEN nullif(v.list_price, p.price) END,
       least(round(v.standard_cost * 1.02, 2), v.list_price),
       %(as_of)s::date - e.days_from,
       CASE WHEN e.days_to IS NOT NULL THEN %(as_of)s::date - e.days_to END,
       CASE e.code WHEN 'CLEARANCE' THEN 'markdown' WHEN 'BASE' THEN 'import'
                   WHEN 'MARKET' THEN 'rule' ELSE 'manual' END,
       CASE WHEN NOT b.is_tax_inclusive AND p.price > 0
            THEN round(100 * (p.price - coalesce(v.average_cost, v.standard_cost)) / p.price, 4)
            END,
       CASE WHEN p.price < least(round(v.standard_cost * 1.02, 2), v.list_price)
            THEN (%(as_of)s::date - e.days_from - 2)::timestamptz END,
       (%(as_of)s::date - e.days_from)::timestamptz - interval '3 days',
       (%(as_of)s::date - e.days_from)::timestamptz - interval '3 days'
FROM (
    SELECT x.business_id, x.product_variant_id, x.sku, coalesce(x.list_price, 9.99) AS list_price,
           coalesce(x.standard_cost, 0) AS standard_cost, x.average_cost, x.abc_class,
           x.status, p.product_kind,
           row_number() OVER (ORDER BY x.sku) AS place
    FROM ret.product_variant AS x
    JOIN ret.product AS p ON p.business_id = x.business_id AND p.product_id = x.product_id
    WHERE x.business_id = %(business_id)s
) AS v
CROSS JOIN LATERAL (
    SELECT v.product_kind = 'gift_card' AS is_gift_card,
           v.product_kind <> 'gift_card'
           AND (v.status <> 'active' OR v.place %% 29 = 3) AS is_cleared,
           v.product_kind <> 'gift_card' AND v.place %% 5 = 2 AS was_raised
) AS w
CROSS JOIN LATERAL (
    VALUES ('BASE', 1, 1.00, 900, CASE WHEN w.was_raised THEN 97 END, NOT w.was_raised),
           ('BASE', 1, 0.95, 900, 97, w.was_raised),
           ('BASE', 1, 1.00, 96, NULL, w.was_raised),
           ('MARKET', 1, 1.08, 180, NULL, NOT w.is_gift_card AND v.place %% 4 < 3),
           ('APP', 1, 0.90, 60, NULL, NOT w.is_gift_card AND v.place %% 25 = 1),
           ('WHOLESALE', 1, 0.82, 365, NULL, NOT w.is_gift_card),
           ('WHOLESALE', 12, 0.76, 365, NULL, NOT w.is_gift_card AND v.abc_class <> 'c'),
           ('WHOLESALE', 48, 0.70, 365, NULL, NOT w.is_gift_card AND v.abc_class = 'a'),
           ('TRADE', 1, 0.88, 300, NULL, NOT w.is_gift_card AND v.place %% 3 = 0),
           ('TRADE', 10, 0.84, 300, NULL, NOT w.is_gift_card AND v.place %% 6 = 0),
           ('STAFF', 1, 0.70, 250, NULL, NOT w.is_gift_card AND v.place %% 10 = 4),
           ('CLEARANCE', 1, 0.80, 42, 29, w.is_cleared),
           ('CLEARANCE', 1, 0.65, 28, 15, w.is_cleared),
           ('CLEARANCE', 1, 0.50, 14, NULL, w.is_cleared),
           ('LAST-YEAR', 1, 0.97, 520, 152, NOT w.is_gift_card AND v.place %% 10 = 0)
) AS e (code, min_qty, part, days_from, days_to, is_there)
JOIN ret.price_book AS b ON b.business_id = v.business_id AND b.book_code = e.code
CROSS JOIN LATERAL (
    SELECT CASE WHEN e.part = 1 THEN v.list_price
                ELSE least(ret.round_price(v.list_price * e.part, b.rounding_rule),
                           CASE WHEN e.part < 1 THEN v.list_price ELSE 9999999 END) END AS price
) AS p
WHERE e.is_there;

-- Who sees which book.
INSERT INTO ret.price_book_assignment
    (business_id, price_book_assignment_id, price_book_id, sales_channel_id, location_id,
     customer_group_id, priority_no, effective_from, effective_to, is_exclusive, weekday_mask,
     note, created_at, updated_at)
SELECT b.business_id,
       md5('assigned ' || a.code || coalesce(a.channel, '') || coalesce(l.location_code, '')
           || coalesce(a.group_code, '') || b.business_id)::uuid,
       b.price_book_id, h.sales_channel_id, l.location_id, g.customer_group_id, a.priority,
       b.effective_from, b.effective_to, a.is_exclusive, a.days, a.note, b.created_at, b.created_at
FROM (
    VALUES ('BASE', 'STORE', false, NULL, 90, false, NULL, NULL),
           ('BASE', 'WEB', false, NULL, 90, false, NULL, NULL),
           ('MARKET', 'MARKET', false, NULL, 50, true, NULL, 'Fees are in the price'),
           ('APP', 'APP', false, NULL, 40, false, 96, 'At weekends only'),
           ('WHOLESALE', NULL, false, 'WHOLESALE', 20, false, NULL, NULL),
           ('WHOLESALE', 'TRADE', false, 'WHOLESALE', 10, true, NULL, NULL),
           ('TRADE', NULL, false, 'TRADE', 30, false, NULL, NULL),
           ('TRADE', NULL, false, 'TRADE-PLUS', 30, false, NULL, NULL),
           ('STAFF', NULL, false, 'STAFF', 15, false, NULL, NULL),
           ('CLEARANCE', 'WEB', false, NULL, 60, false, NULL, NULL),
           ('CLEARANCE', 'APP', false, NULL, 60, false, NULL, NULL),
           ('CLEARANCE', NULL, true, NULL, 60, false, NULL, 'On the clearance rack'),
           ('LAST-YEAR', 'WEB', false, NULL, 80, false, NULL, NULL)
) AS a (code, channel, in_stores, group_code, priority, is_exclusive, days, note)
JOIN ret.price_book AS b ON b.business_id = %(business_id)s AND b.book_code = a.code
LEFT JOIN ret.sales_channel AS h
    ON h.business_id = b.business_id AND h.channel_code = a.channel
LEFT JOIN ret.location AS l
    ON l.business_id = b.business_id AND a.in_stores AND l.location_kind = 'store'
LEFT JOIN ret.customer_group AS g
    ON g.business_id = b.business_id AND g.group_code = a.group_code
WHERE num_nonnulls(h.sales_channel_id, l.location_id, g.customer_group_id) > 0;

-- How the prices moved: every step of clearance, every raise; and what is asked for now.
INSERT INTO ret.price_change
    (business_id, price_change_id, requested_by_user_id, approved_by_user_id, product_variant_id,
     price_book_id, change_number, change_kind, old_price, new_price, reason_text, units_on_hand,
     requested_at, effective_at, label_printed_at, state, created_at, updated_at)
SELECT %(business_id)s, md5('move ' || m.kind || m.effective_on || m.sku)::uuid, u.asks,
       CASE WHEN m.state IN ('approved', 'applied', 'reverted') THEN u.approves END,
       m.product_variant_id, m.price_book_id,
       'PC-' || lpad((row_number() OVER (ORDER BY m.effective_on, m.sku, m.kind))::text, 6, '0'),
       m.kind, m.old_price, m.new_price, m.reason,
       ('x' || substr(md5(m.sku || m.kind), 1, 7))::bit(28)::integer %% 45,
       m.effective_on::timestamptz - interval '6 days', m.effective_on::timestamptz,
       CASE WHEN m.state IN ('applied', 'reverted')
            THEN m.effective_on::timestamptz - interval '2 hours' END,
       m.state, m.effective_on::timestamptz - interval '6 days',
       m.effective_on::timestamptz - interval '6 days'
FROM (
    SELECT e.product_variant_id, v.sku, e.price_book_id,
           CASE WHEN e.book_code = 'BASE' THEN 'increase'
                WHEN e.next_from IS NULL THEN 'clearance' ELSE 'markdown' END AS kind,
           coalesce(e.price_before, e.compare_at_price) AS old_price, e.price AS new_price,
           CASE WHEN e.book_code = 'BASE' THEN 'Cost went up'
                ELSE 'Slow for weeks, next step of the ladder' END AS reason,
           e.effective_from AS effective_on, 'applied' AS state
    FROM (
        SELECT x.*, b.book_code,
               lag(x.price) OVER w AS price_before,
               lead(x.effective_from) OVER w AS next_from
        FROM ret.price_book_entry AS x
        JOIN ret.price_book AS b
            ON b.business_id = x.business_id AND b.price_book_id = x.price_book_id
           AND b.book_code IN ('BASE', 'CLEARANCE')
        WHERE x.business_id = %(business_id)s
        WINDOW w AS (PARTITION BY x.price_book_id, x.product_variant_id, x.min_qty
                     ORDER BY x.effective_from)
    ) AS e
    JOIN ret.product_variant AS v
        ON v.business_id = e.business_id AND v.product_variant_id = e.product_variant_id
    WHERE e.price <> coalesce(e.price_before, e.compare_at_price)
    UNION ALL
    SELECT v.product_variant_id, v.sku, b.price_book_id,
           CASE WHEN k.state IN ('reverted', 'rejected') THEN 'competitor_match'
                ELSE 'increase' END,
           v.list_price,
           CASE WHEN k.state IN ('reverted', 'rejected')
                THEN greatest(v.list_price - 1, round(v.list_price / 2, 2))
                ELSE v.list_price + 1 END,
           CASE WHEN k.state IN ('reverted', 'rejected') THEN 'Seen for less across the street'
                ELSE 'Supplier announced a raise' END,
           %(as_of)s::date + CASE WHEN k.state IN ('reverted', 'rejected') THEN -20 ELSE 5 END,
           k.state
    FROM (
        SELECT x.*, row_number() OVER (ORDER BY md5(x.sku)) AS place
        FROM ret.product_variant AS x
        JOIN ret.product AS p
            ON p.business_id = x.business_id AND p.product_id = x.product_id
           AND p.product_kind <> 'gift_card'
        WHERE x.business_id = %(business_id)s AND x.list_price > 0
    ) AS v
    JOIN ret.price_book AS b ON b.business_id = %(business_id)s AND b.book_code = 'BASE'
    CROSS JOIN LATERAL (
        SELECT CASE v.place %% 50 WHEN 1 THEN 'draft' WHEN 2 THEN 'approved'
                                  WHEN 3 THEN 'rejected' WHEN 4 THEN 'reverted' END AS state
    ) AS k
    WHERE k.state IS NOT NULL
) AS m
CROSS JOIN (
    SELECT (array_agg(x.user_account_id ORDER BY x.account_kind <> 'staff', x.username))[1]
               AS asks,
           (array_agg(x.user_account_id ORDER BY x.account_kind <> 'staff', x.username))[2]
               AS approves
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s
) AS u
WHERE m.state IN ('draft', 'rejected') OR u.approves IS NOT NULL;

-- The offers: what runs now, what ran in the months before under the same terms, what is planned.
INSERT INTO ret.promotion
    (business_id, promotion_id, sales_channel_id, promotion_code, title, promotion_kind,
     trigger_kind, starts_at, ends_at, priority_no, stacking, stacking_group, max_redemptions,
     redeemed_count, budget_amount, budget_used, funded_by, state, created_at, updated_at)
SELECT %(business_id)s, md5('promotion ' || t.code || r.round || %(business_id)s)::uuid,
       h.sales_channel_id,
       t.code || CASE r.round WHEN 0 THEN '' ELSE '-' || to_char(d.starts_at, 'YYMM') END,
       t.title, t.kind, t.opened_by, d.starts_at, d.ends_at, t.priority, t.stacking,
       t.stacking_group, t.most, least(t.most, n.redeemed), t.budget,
       CASE WHEN t.code <> 'POINTS'
            THEN least(coalesce(t.budget, 99999), round(n.redeemed * 4.25, 2)) ELSE 0 END,
       t.funded_by, d.state,
       least(d.starts_at, %(as_of)s::timestamptz) - interval '14 days',
       least(d.starts_at, %(as_of)s::timestamptz) - interval '14 days'
FROM (
    VALUES
    (1, 'TEES20', 'T-shirts 20 %% off', 'percent_off', 'automatic',
     50, 'stackable', NULL, NULL, NULL, 'retailer', NULL),
    (2, 'WELCOME10', '10 %% off the first order', 'percent_off', 'coupon',
     60, 'best_of_group', 'codes', NULL, NULL, 'retailer', NULL),
    (3, 'TENOFF', '10 off from 60', 'amount_off', 'coupon',
     61, 'best_of_group', 'codes', 4000, 20000, 'retailer', NULL),
    (4, 'COFFEE3FOR2', 'Coffee: 3 for 2', 'buy_x_get_y', 'automatic',
     30, 'stackable', NULL, NULL, NULL, 'shared', NULL),
    (5, 'MUGS', 'Two mugs for 20', 'bundle_price', 'automatic',
     31, 'stackable', NULL, NULL, NULL, 'retailer', NULL),
    (6, 'CARDGIFT', 'A greeting card with 100', 'free_gift', 'automatic',
     80, 'stackable', NULL, 500, NULL, 'retailer', NULL),
    (7, 'SHIPFREE', 'Ships free from 50', 'free_shipping', 'automatic',
     90, 'stackable', NULL, NULL, NULL, 'retailer', 'WEB'),
    (8, 'SPEND120', '15 off from 120', 'spend_threshold', 'automatic',
     40, 'best_of_group', 'baskets', NULL, 30000, 'retailer', NULL),
    (9, 'MORE', 'The more the more off', 'tiered', 'automatic',
     41, 'best_of_group', 'baskets', NULL, NULL, 'retailer', NULL),
    (10, 'PICK', 'Our pick for one price', 'fixed_price', 'automatic',
     20, 'stackable', NULL, NULL, NULL, 'retailer', NULL),
    (11, 'VIP10', '10 %% for our best customers', 'percent_off', 'automatic',
     55, 'best_of_group', 'people', NULL, NULL, 'retailer', NULL),
    (12, 'HAPPYHOUR', 'Quiet hours: 8 %% off', 'percent_off', 'automatic',
     70, 'stackable', NULL, NULL, NULL, 'retailer', 'STORE'),
    (13, 'BRANDWEEK', 'A brand week', 'percent_off', 'automatic',
     52, 'stackable', NULL, NULL, 15000, 'supplier', NULL),
    (14, 'OUTDOOR', 'Sports and outdoor 12 %% off', 'percent_off', 'automatic',
     53, 'stackable', NULL, NULL, NULL, 'retailer', NULL),
    (15, 'BIRTHDAY', '15 %% for your birthday', 'percent_off', 'coupon',
     10, 'exclusive', NULL, NULL, NULL, 'retailer', NULL),
    (16, 'POINTS', '200 points with 75', 'spend_threshold', 'automatic',
     95, 'stackable', NULL, NULL, NULL, 'retailer', NULL),
    (17, 'SORRY', '5 off from customer service', 'amount_off', 'coupon',
     62, 'best_of_group', 'codes', NULL, 5000, 'retailer', NULL)
) AS t (number, code, title, kind, opened_by, priority, stacking, stacking_group, most, budget,
        funded_by, channel)
CROSS JOIN generate_series(-1, 3) AS r (round)
LEFT JOIN ret.sales_channel AS h
    ON h.business_id = %(business_id)s AND h.channel_code = t.channel
CROSS JOIN LATERAL (
    SELECT CASE WHEN r.round = 0 AND t.number = 14 THEN 'paused' WHEN r.round = 0 THEN 'active'
                WHEN r.round > 0 THEN 'ended' WHEN t.number %% 4 = 1 THEN 'draft'
                ELSE 'scheduled' END AS state,
           date_trunc('day', %(as_of)s::timestamptz) + interval '6 hours'
           - r.round * interval '60 days'
           - CASE WHEN t.opened_by = 'coupon' THEN 200 WHEN r.round >= 0
                  THEN 4 + t.number %% 16 ELSE t.number %% 10 END
             * interval '1 day' AS starts_at
) AS s
CROSS JOIN LATERAL (
    SELECT s.state, s.starts_at,
           CASE WHEN r.round = 0 AND t.opened_by = 'coupon' THEN NULL
                ELSE s.starts_at + (28 + t.number %% 12) * interval '1 day' END AS ends_at
) AS d
CROSS JOIN LATERAL (
    SELECT CASE WHEN d.state IN ('active', 'paused', 'ended')
                THEN 5 + ('x' || substr(md5(t.code || r.round), 1, 7))::bit(28)::integer %% 400
                ELSE 0 END AS redeemed
) AS n
WHERE r.round = 0 OR (r.round = -1 AND t.opened_by = 'automatic' AND t.number %% 3 = 1)
   OR (r.round > 0 AND t.opened_by = 'automatic' AND (t.number + r.round) %% 2 = 0);

INSERT INTO ret.promotion_rule
    (business_id, promotion_rule_id, promotion_id, product_variant_id, category_id, brand_id,
     customer_group_id, rule_role, rule_kind, compare, min_qty, min_amount, condition_doc,
     group_no, is_negated, created_at, updated_at)
SELECT p.business_id, md5('rule ' || t.role || t.kind || t.number || p.promotion_id)::uuid,
       p.promotion_id, i.product_variant_id, c.category_id, b.brand_id, g.customer_group_id,
       t.role, t.kind, t.compare, t.min_qty, t.min_amount, t.doc::jsonb, t.number, false,
       p.created_at, p.created_at
FROM (
    VALUES
    ('TEES20', 1, 'target', 'category', 'MEN-11', 'eq', NULL, NULL, NULL),
    ('WELCOME10', 1, 'qualifier', 'first_order', NULL, 'eq', NULL, NULL, NULL),
    ('WELCOME10', 1, 'exclusion', 'category', 'GIF', 'eq', NULL, NULL, NULL),
    ('TENOFF', 1, 'qualifier', 'basket_total', NULL, 'gte', NULL, 60, NULL),
    ('COFFEE3FOR2', 1, 'target', 'category', 'GRO-11', 'eq', NULL, NULL, NULL),
    ('MUGS', 1, 'target', 'category', 'HOM-11', 'eq', NULL, NULL, NULL),
    ('CARDGIFT', 1, 'qualifier', 'basket_total', NULL, 'gte', NULL, 100, NULL),
    ('SHIPFREE', 1, 'qualifier', 'basket_total', NULL, 'gte', NULL, 50, NULL),
    ('SPEND120', 1, 'qualifier', 'basket_total', NULL, 'gte', NULL, 120, NULL),
    ('SPEND120', 1, 'exclusion', 'category', 'GRO', 'eq', NULL, NULL, NULL),
    ('MORE', 1, 'qualifier', 'basket_qty', NULL, 'gte', 3, NULL, NULL),
    ('PICK', 1, 'target', 'item', 'pick', 'eq', NULL, NULL, NULL),
    ('VIP10', 1, 'qualifier', 'customer', 'VIP', 'eq', NULL, NULL, NULL),
    ('VIP10', 1, 'exclusion', 'item', NULL, 'in', NULL, NULL,
     '{"or": [{"attribute": "category", "compare": "eq", "value": "GRO"},
              {"attribute": "price", "compare": "lte", "value": 5}]}'),
    ('HAPPYHOUR', 1, 'qualifier', 'time_window', NULL, 'eq', NULL, NULL,
     '{"weekdays": [1, 2, 3, 4], "from": "14:00", "to": "16:30"}'),
    ('HAPPYHOUR', 2, 'qualifier', 'time_window', NULL, 'eq', NULL, NULL,
     '{"weekdays": [5], "from": "10:00", "to": "11:30"}'),
    ('BRANDWEEK', 1, 'target', 'brand', 'first', 'eq', NULL, NULL, NULL),
    ('OUTDOOR', 1, 'target', 'category', 'SPO', 'eq', NULL, NULL, NULL),
    ('OUTDOOR', 2, 'target', 'category', 'SHO-21', 'eq', NULL, NULL, NULL),
    ('BIRTHDAY', 1, 'qualifier', 'basket_total', NULL, 'between', NULL, 10, '{"upper": 500}'),
    ('POINTS', 1, 'qualifier', 'basket_total', NULL, 'gte', NULL, 75, NULL)
) AS t (code, number, role, kind, what, compare, min_qty, min_amount, doc)
JOIN ret.promotion AS p
    ON p.business_id = %(business_id)s AND split_part(p.promotion_code, '-', 1) = t.code
LEFT JOIN ret.category AS c
    ON c.business_id = p.business_id AND t.kind = 'category' AND c.category_code = t.what
LEFT JOIN ret.customer_group AS g
    ON g.business_id = p.business_id AND t.kind = 'customer' AND g.group_code = t.what
LEFT JOIN (
    SELECT x.brand_id
    FROM ret.brand AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.brand_code
    LIMIT 1
) AS b ON t.kind = 'brand'
LEFT JOIN (
    SELECT x.product_variant_id
    FROM ret.product_variant AS x
    WHERE x.business_id = %(business_id)s AND x.list_price > 12
    ORDER BY x.status <> 'active', md5(x.sku), x.sku
    LIMIT 1
) AS i ON t.what = 'pick'
WHERE (t.kind <> 'category' OR c.category_id IS NOT NULL)
  AND (t.kind <> 'customer' OR g.customer_group_id IS NOT NULL)
  AND (t.kind <> 'brand' OR b.brand_id IS NOT NULL)
  AND (t.what IS DISTINCT FROM 'pick' OR i.product_variant_id IS NOT NULL);

INSERT INTO ret.promotion_reward
    (business_id, promotion_reward_id, gift_variant_id, promotion_id, reward_kind, reward_value,
     applies_to, max_units, max_amount, qualifying_qty, reward_qty, allocation, tier_threshold,
     created_at, updated_at)
SELECT p.business_id, md5('reward ' || t.kind || coalesce(t.tier, 0) || p.promotion_id)::uuid,
       CASE WHEN t.kind = 'free_item' THEN g.product_variant_id END, p.promotion_id, t.kind,
       t.value, t.applies_to, t.max_units, t.max_amount, t.buy, t.get, t.allocation, t.tier,
       p.created_at, p.created_at
FROM (
    VALUES
    ('TEES20', 'percent', 20, 'each_target', NULL, NULL, NULL, NULL, 'target_only', NULL),
    ('WELCOME10', 'percent', 10, 'order', NULL, 40, NULL, NULL, 'pro_rata', NULL),
    ('TENOFF', 'amount', 10, 'order', NULL, NULL, NULL, NULL, 'pro_rata', NULL),
    ('COFFEE3FOR2', 'percent', 100, 'cheapest', NULL, NULL, 2, 1, 'pro_rata', NULL),
    ('MUGS', 'fixed_price', 20, 'each_target', NULL, NULL, 2, NULL, 'target_only', NULL),
    ('CARDGIFT', 'free_item', NULL, 'each_target', 1, NULL, NULL, NULL, 'target_only', NULL),
    ('SHIPFREE', 'shipping', NULL, 'shipping', NULL, 25, NULL, NULL, 'target_only', NULL),
    ('SPEND120', 'amount', 15, 'order', NULL, NULL, NULL, NULL, 'pro_rata', NULL),
    ('MORE', 'percent', 5, 'order', NULL, NULL, NULL, NULL, 'pro_rata', 80),
    ('MORE', 'percent', 10, 'order', NULL, NULL, NULL, NULL, 'pro_rata', 150),
    ('MORE', 'percent', 15, 'order', NULL, 90, NULL, NULL, 'pro_rata', 300),
    ('PICK', 'fixed_price', 9.99, 'each_target', 3, NULL, NULL, NULL, 'target_only', NULL),
    ('VIP10', 'percent', 10, 'each_target', NULL, NULL, NULL, NULL, 'target_only', NULL),
    ('HAPPYHOUR', 'percent', 8, 'order', NULL, 20, NULL, NULL, 'pro_rata', NULL),
    ('BRANDWEEK', 'percent', 15, 'each_target', NULL, NULL, NULL, NULL, 'target_only', NULL),
    ('OUTDOOR', 'percent', 12, 'each_target', NULL, NULL, NULL, NULL, 'target_only', NULL),
    ('BIRTHDAY', 'percent', 15, 'order', NULL, 50, NULL, NULL, 'pro_rata', NULL),
    ('POINTS', 'points', 200, 'order', NULL, NULL, NULL, NULL, 'target_only', NULL),
    ('SORRY', 'amount', 5, 'order', NULL, NULL, NULL, NULL, 'pro_rata', NULL)
) AS t (code, kind, value, applies_to, max_units, max_amount, buy, get, allocation, tier)
JOIN ret.promotion AS p
    ON p.business_id = %(business_id)s AND split_part(p.promotion_code, '-', 1) = t.code
CROSS JOIN (
    SELECT x.product_variant_id
    FROM ret.product_variant AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.status <> 'active', x.list_price, x.sku
    LIMIT 1
) AS g;

-- Codes: one for everybody, one per birthday, one per complaint; none is used beyond its end.
INSERT INTO ret.coupon
    (business_id, coupon_id, promotion_id, customer_id, coupon_code, coupon_kind, max_uses,
     used_count, max_uses_per_customer, issued_at, starts_at, expires_at, issue_source, state,
     created_at, updated_at)
SELECT p.business_id, md5('coupon ' || k.code || p.business_id)::uuid, p.promotion_id,
       k.customer_id, k.code, k.kind, k.max_uses,
       CASE WHEN k.place %% 3 = 0 THEN least(k.max_uses, k.used) ELSE 0 END,
       1, k.issued_at, k.issued_at, k.issued_at + k.days * interval '1 day', k.source,
       CASE WHEN k.place %% 3 = 0 AND k.max_uses <= k.used THEN 'exhausted'
            WHEN k.place %% 40 = 11 THEN 'revoked'
            WHEN k.issued_at + k.days * interval '1 day' <= %(as_of)s THEN 'expired'
            WHEN k.place %% 3 = 0 THEN 'active' ELSE 'issued' END,
       k.issued_at, k.issued_at
FROM (
    SELECT 'WELCOME10' AS offer, 'WELCOME10' AS code, 'public' AS kind, NULL::uuid AS customer_id,
           NULL::integer AS max_uses, 180 AS used, 3 AS place,
           %(as_of)s::timestamptz - interval '6 days' AS issued_at, NULL::integer AS days,
           'campaign' AS source
    UNION ALL
    SELECT 'TENOFF', 'TEN4YOU', 'public', NULL, 2000, 310, 3,
           %(as_of)s::timestamptz - interval '7 days', 60, 'print'
    UNION ALL
    SELECT 'BIRTHDAY', 'BD-' || upper(substr(md5(c.customer_number || 'b'), 1, 8)), 'personal',
           c.customer_id, 1, 1, c.place::integer,
           date_trunc('day', %(as_of)s::timestamptz) - (c.place * 13 %% 90) * interval '1 day', 45,
           'campaign'
    FROM (
        SELECT x.customer_id, x.customer_number,
               row_number() OVER (ORDER BY x.customer_number) AS place
        FROM ret.customer AS x
        WHERE x.business_id = %(business_id)s AND x.birth_date IS NOT NULL
          AND x.status = 'active'
    ) AS c
    UNION ALL
    SELECT 'SORRY', 'SR-' || upper(substr(md5(c.customer_number || 's'), 1, 8)), 'unique', NULL, 1,
           1, c.place::integer,
           date_trunc('day', %(as_of)s::timestamptz) - (c.place * 7 %% 80) * interval '1 day', 60,
           'service'
    FROM (
        SELECT x.customer_number, row_number() OVER (ORDER BY md5(x.customer_number)) AS place,
               count(*) OVER () AS customers
        FROM ret.customer AS x
        WHERE x.business_id = %(business_id)s
    ) AS c
    WHERE c.place <= greatest(2, c.customers / 12)
) AS k
JOIN ret.promotion AS p ON p.business_id = %(business_id)s AND p.promotion_code = k.offer;
