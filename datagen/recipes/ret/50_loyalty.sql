SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

INSERT INTO ret.loyalty_program
    (business_id, loyalty_program_id, program_code, display_name, point_name, point_value,
     tier_window_days, point_expiry_days, earn_on, earn_delay_days, allows_negative,
     min_redeem_points, effective_from, state, created_at, updated_at)
VALUES (%(business_id)s, md5('program ' || %(business_id)s)::uuid, 'CIRCLE', 'The Circle',
        'points', 0.02, 365, 365, 'net_sales', 30, false, 100,
        (%(as_of)s - interval '1200 days')::date, 'active', %(as_of)s - interval '1200 days',
        %(as_of)s - interval '400 days');

-- Most stay in the first tier; two in a hundred reach the last.
INSERT INTO ret.loyalty_tier
    (business_id, loyalty_tier_id, loyalty_program_id, tier_code, display_name, rank_no,
     qualify_spend, qualify_orders, earn_multiplier, free_shipping_from, birthday_points,
     benefits_doc, retain_days, created_at, updated_at)
SELECT p.business_id, md5('tier ' || t.code || p.business_id)::uuid, p.loyalty_program_id, t.code,
       t.title, t.rank_no, t.spend, t.orders, t.lift, t.free_from, t.birthday, t.benefits::jsonb,
       t.days, p.created_at, p.created_at
FROM ret.loyalty_program AS p
CROSS JOIN (VALUES
    (1, 'MEMBER', 'Member', 0, 0, 1.0, 60.00, 0, NULL,
     '["Birthday points", "Receipts in the app"]'),
    (2, 'SILVER', 'Silver', 500, 2, 1.1, 40.00, 25, 365,
     '["Free shipping from 40", "Early access to the sale"]'),
    (3, 'GOLD', 'Gold', 1000, 3, 1.25, 25.00, 50, 365,
     '["Free shipping from 25", "Early access to the sale", "Free alterations"]'),
    (4, 'CIRCLE', 'Inner circle', 2000, 5, 1.5, 0.00, 100, 365,
     '["Free shipping", "Private sale", "Free alterations", "A stylist by appointment"]'))
    AS t (rank_no, code, title, spend, orders, lift, free_from, birthday, days, benefits)
WHERE p.business_id = %(business_id)s;

-- A point for each unit spent, twice as many on two weekends; other occasions give points at once.
INSERT INTO ret.loyalty_earn_rule
    (business_id, loyalty_earn_rule_id, loyalty_program_id, category_id, rule_code, earn_kind,
     points_per_unit, unit_amount, multiplier, min_spend, max_points_per_day, starts_at, ends_at,
     is_active, created_at, updated_at)
SELECT p.business_id, md5('rule ' || r.code || p.business_id)::uuid, p.loyalty_program_id,
       CASE WHEN r.kind = 'item' THEN c.category_id END, r.code, r.kind, r.points, r.unit,
       r.multiplier, r.least, r.most, %(as_of)s - r.starts * interval '1 day',
       %(as_of)s - r.ends * interval '1 day', r.active,
       %(as_of)s - greatest(r.starts, 20) * interval '1 day',
       %(as_of)s - greatest(r.starts, 20) * interval '1 day'
FROM ret.loyalty_program AS p
CROSS JOIN (VALUES
    (0, 'SPEND', 'spend', 1, 1.00, NULL, NULL, 5000, 1200, NULL, true),
    (0, 'DOUBLE-SPRING', 'bonus_multiplier', NULL, 0.00, 2.0, 30.00, 500, 72, 69, true),
    (0, 'DOUBLE-MAY', 'bonus_multiplier', NULL, 0.00, 2.0, 30.00, 500, 16, 13, true),
    (0, 'DOUBLE-WINTER', 'bonus_multiplier', NULL, 0.00, 2.0, 30.00, 500, 200, 197, true),
    (0, 'TRIPLE-OPENING', 'bonus_multiplier', NULL, 0.00, 3.0, NULL, 1000, 1199, 1196, false),
    (1, 'ITEM-SHOES', 'item', 50, 0.00, NULL, NULL, 200, -10, -24, true),
    (2, 'ITEM-HOME', 'item', 20, 0.00, NULL, NULL, 200, 320, 290, true),
    (3, 'ITEM-TOYS', 'item', 25, 0.00, NULL, NULL, 200, 190, 160, true),
    (4, 'ITEM-BEAUTY', 'item', 15, 0.00, NULL, NULL, 150, -30, -60, true),
    (0, 'VISIT-OPENING', 'visit', 10, 0.00, NULL, 5.00, 10, 900, 870, false),
    (0, 'REVIEW', 'review', 15, 0.00, NULL, NULL, 45, 1000, NULL, true),
    (0, 'REFERRAL', 'referral', 200, 0.00, NULL, NULL, 1000, 1000, NULL, true),
    (0, 'BIRTHDAY', 'birthday', 50, 0.00, NULL, NULL, NULL, 1200, NULL, true),
    (0, 'WELCOME', 'sign_up', 100, 0.00, NULL, NULL, NULL, 1200, NULL, true),
    (0, 'WELCOME-APP', 'sign_up', 150, 0.00, NULL, NULL, NULL, 700, 640, false))
    AS r (of_goods, code, kind, points, unit, multiplier, least, most, starts, ends, active)
LEFT JOIN (
    SELECT x.category_id, row_number() OVER (ORDER BY x.category_code) AS place
    FROM ret.category AS x
    WHERE x.business_id = %(business_id)s AND x.level_kind = 'department'
) AS c ON c.place = r.of_goods
WHERE p.business_id = %(business_id)s AND (r.kind <> 'item' OR c.category_id IS NOT NULL);

INSERT INTO ret.loyalty_reward
    (business_id, loyalty_reward_id, gift_variant_id, loyalty_program_id, promotion_id,
     reward_code, display_name, reward_kind, points_cost, reward_value, min_tier_rank,
     stock_limit, valid_days, starts_at, ends_at, is_active, created_at, updated_at)
SELECT p.business_id, md5('reward ' || r.code || p.business_id)::uuid,
       CASE WHEN r.kind = 'free_item' THEN v.product_variant_id END, p.loyalty_program_id,
       CASE WHEN r.code = 'BDAY' THEN o.promotion_id END, r.code, r.title, r.kind, r.cost,
       r.worth, r.rank_no, r.stock, r.days, %(as_of)s - r.starts * interval '1 day',
       %(as_of)s - r.ends * interval '1 day', r.active,
       %(as_of)s - r.starts * interval '1 day', %(as_of)s - r.starts * interval '1 day'
FROM ret.loyalty_program AS p
CROSS JOIN (VALUES
    ('PCT10', '10 percent off an item', 'percent_off', 150, 10.00, NULL, NULL, 90, 1200, NULL,
     true),
    ('PCT20', '20 percent off an item', 'percent_off', 300, 20.00, NULL, NULL, 90, 1200, NULL,
     true),
    ('OFF5', '5 off', 'amount_off', 250, 5.00, NULL, NULL, 90, 1200, NULL, true),
    ('OFF10', '10 off', 'amount_off', 480, 10.00, NULL, NULL, 90, 1200, NULL, true),
    ('OFF25', '25 off', 'amount_off', 1150, 25.00, 2, NULL, 90, 1200, NULL, true),
    ('SHIP', 'Free shipping', 'free_shipping', 200, 4.90, NULL, NULL, 60, 1200, NULL, true),
    ('GIFT', 'A gift of the season', 'free_item', 400, 12.00, NULL, 500, 30, 90, NULL, true),
    ('CARD20', 'A gift card over 20', 'gift_card', 1000, 20.00, 2, NULL, 30, 600, NULL, true),
    ('STYLIST', 'An hour with a stylist', 'experience', 1500, NULL, 3, 40, 120, 600, NULL, true),
    ('PREVIEW', 'The preview of the collection', 'experience', 800, NULL, 2, 25, 30, 400, 300,
     false),
    ('BDAY', '15 percent for your birthday', 'percent_off', NULL, 15.00, NULL, NULL, 30, 1200,
     NULL, true),
    ('SORRY10', '10 percent from customer service', 'percent_off', NULL, 10.00, NULL, NULL, 60,
     1200, NULL, true),
    ('SORRY20', '20 percent from customer service', 'percent_off', NULL, 20.00, NULL, NULL, 60,
     1200, NULL, true))
    AS r (code, title, kind, cost, worth, rank_no, stock, days, starts, ends, active)
LEFT JOIN (
    SELECT x.product_variant_id
    FROM ret.product_variant AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.list_price < 8, x.list_price, x.sku
    LIMIT 1
) AS v ON true
LEFT JOIN (
    SELECT x.promotion_id
    FROM ret.promotion AS x
    WHERE x.business_id = %(business_id)s AND x.promotion_code = 'BIRTHDAY'
) AS o ON true
WHERE p.business_id = %(business_id)s
  AND (r.kind <> 'free_item' OR v.product_variant_id IS NOT NULL);

-- Members are those who agreed to it; whoever was blocked keeps points but spends none.
INSERT INTO ret.loyalty_account
    (business_id, loyalty_account_id, loyalty_program_id, customer_id, card_number, enrolled_at,
     enrol_channel, created_at, updated_at)
SELECT c.business_id, md5('member ' || c.customer_id)::uuid, p.loyalty_program_id, c.customer_id,
       'L-' || replace(c.customer_number, 'C-', '7'), n.decided_at,
       CASE n.source WHEN 'call' THEN 'pos' ELSE n.source END, n.decided_at, n.decided_at
FROM ret.customer AS c
JOIN ret.customer_consent AS n
    ON n.business_id = c.business_id AND n.customer_id = c.customer_id
   AND n.purpose = 'loyalty' AND n.decision = 'granted'
JOIN ret.loyalty_program AS p ON p.business_id = c.business_id
WHERE c.business_id = %(business_id)s AND c.status IN ('active', 'blocked');

UPDATE ret.loyalty_account AS a
SET state = 'frozen'
FROM ret.customer AS c
WHERE a.business_id = %(business_id)s AND c.business_id = a.business_id
  AND c.customer_id = a.customer_id AND c.status = 'blocked';
