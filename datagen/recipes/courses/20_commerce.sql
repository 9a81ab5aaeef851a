SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- A course is free or has a price; dear ones can be paid in four parts, some material by the month.
INSERT INTO courses.price_offer
    (business_id, price_offer_id, course_id, offer_code, title, pricing, amount, currency_code,
     installment_count, access_days, valid_from, tax_category)
SELECT c.business_id, md5('offer ' || o.kind || c.course_id)::uuid, c.course_id,
       c.course_code || '-' || c.version_no || o.suffix, c.title || o.label, o.kind,
       CASE o.kind WHEN 'free' THEN 0 WHEN 'subscription' THEN 39
                   WHEN 'installments' THEN round(p.price * 1.06) ELSE p.price END,
       b.currency_code, CASE o.kind WHEN 'installments' THEN 4 END,
       CASE WHEN o.kind = 'subscription' THEN 30 WHEN c.delivery = 'self_paced' THEN 365 END,
       c.published_at::date,
       CASE WHEN c.delivery = 'self_paced' THEN 'digital' ELSE 'education' END
FROM courses.course AS c
JOIN tenant_mgmt.business AS b ON b.business_id = c.business_id
CROSS JOIN LATERAL (
    SELECT (CASE c.level WHEN 'beginner' THEN 149 WHEN 'intermediate' THEN 299 ELSE 549 END
            + right(c.course_code, 2)::integer %% 5 * 20)
           / CASE WHEN c.delivery = 'self_paced' THEN 2 ELSE 1 END AS price
) AS p
CROSS JOIN (VALUES ('free', '-FREE', ''), ('one_time', '-STD', ''),
                   ('installments', '-INST', ', in four parts'),
                   ('subscription', '-SUB', ', month by month'),
                   ('pay_what_you_want', '-PWYW', ', pay what you want'))
    AS o (kind, suffix, label)
WHERE c.business_id = %(business_id)s AND c.published_at IS NOT NULL
  AND CASE o.kind
          WHEN 'free' THEN c.is_free
          WHEN 'one_time' THEN NOT c.is_free
          WHEN 'installments' THEN NOT c.is_free AND p.price >= 300
          WHEN 'subscription' THEN NOT c.is_free AND c.delivery = 'self_paced'
               AND right(c.course_code, 2)::integer %% 3 = 0
          ELSE c.title = 'Public Speaking' END;

-- Sections to come sell earlier for less; programs have a price of their own.
INSERT INTO courses.price_offer
    (business_id, price_offer_id, course_section_id, offer_code, title, pricing, amount,
     currency_code, early_bird_amount, early_bird_until, valid_from, valid_until, tax_category)
SELECT s.business_id, md5('early ' || s.course_section_id)::uuid, s.course_section_id,
       s.section_code || '-EB', s.title || ', early bird', 'one_time', o.amount, o.currency_code,
       round(o.amount * 0.85), s.starts_on::timestamptz - interval '14 days',
       s.enrollment_opens_on, s.enrollment_closes_on, o.tax_category
FROM courses.course_section AS s
JOIN courses.price_offer AS o
    ON o.business_id = s.business_id AND o.course_id = s.course_id AND o.pricing = 'one_time'
WHERE s.business_id = %(business_id)s AND s.status IN ('open', 'full', 'cancelled')
  AND s.delivery <> 'self_paced';

INSERT INTO courses.price_offer
    (business_id, price_offer_id, program_id, offer_code, title, pricing, amount, currency_code,
     installment_count, valid_from)
SELECT p.business_id, md5('program offer ' || p.program_id)::uuid, p.program_id,
       p.program_code || '-' || p.catalog_year, p.title, 'installments',
       990 + p.minimum_credits * 120, b.currency_code, 6, %(as_of)s::date - 400
FROM courses.program AS p
JOIN tenant_mgmt.business AS b ON b.business_id = p.business_id
WHERE p.business_id = %(business_id)s AND p.program_kind NOT IN ('onboarding', 'compliance');

INSERT INTO courses.coupon
    (business_id, coupon_id, created_by_user_account_id, code, discount_kind, percent_off,
     amount_off, max_redemptions, per_learner_limit, minimum_order_amount, starts_at, expires_at,
     is_active, campaign)
SELECT %(business_id)s, md5('coupon ' || k.code || %(business_id)s)::uuid, a.user_account_id,
       k.code, CASE WHEN k.percent IS NULL THEN 'amount' ELSE 'percent' END, k.percent, k.amount,
       k.uses, 1, CASE WHEN k.amount IS NULL THEN 0 ELSE k.amount * 2 END,
       %(as_of)s::timestamptz + k.first_day * interval '1 day',
       CASE WHEN k.last_day IS NOT NULL
            THEN %(as_of)s::timestamptz + k.last_day * interval '1 day' END,
       coalesce(k.last_day >= 0, true), k.campaign
FROM (
    SELECT * FROM (VALUES
        ('WELCOME10', 10, NULL::integer, NULL::integer, -500, NULL::integer, 'Newsletter'),
        ('BLACKFRIDAY30', 30, NULL, 5000, -187, -178, 'Black Friday'),
        ('SPRING15', 15, NULL, 2000, -110, -20, 'Spring term'),
        ('FALL15', 15, NULL, 2000, -320, -240, 'Fall term'),
        ('NEWYEAR20', 20, NULL, 2000, -155, -130, 'New year'),
        ('ALUMNI20', 20, NULL, NULL, -500, NULL, 'Alumni'),
        ('STUDENT25', 25, NULL, NULL, -400, 200, 'Students'),
        ('FRIEND20', NULL, 20, NULL, -300, NULL, 'Bring a friend'),
        ('TEAM50', NULL, 50, 500, -365, 60, 'Teams'),
        ('SUMMER10', 10, NULL, 1000, -5, 85, 'Summer school'))
        AS v (code, percent, amount, uses, first_day, last_day, campaign)
    UNION ALL
    SELECT 'PARTNER-' || lpad(g::text, 3, '0'), 10 + g %% 3 * 5, NULL, 50, -420 + g * 20,
           -60 + g * 20, 'Partner ' || g
    FROM generate_series(1, 15) AS g
) AS k
CROSS JOIN (
    SELECT x.user_account_id
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s AND x.account_kind = 'staff' AND x.status = 'active'
    ORDER BY x.username
    LIMIT 1
) AS a;

-- Who enrolled alone ordered just before, one in six with a coupon, each coupon once.
INSERT INTO courses.course_order
    (business_id, course_order_id, buyer_user_account_id, coupon_id, order_number, status,
     ordered_at, currency_code, channel, terms_accepted_at)
SELECT n.business_id, md5('order ' || n.enrollment_id)::uuid, n.user_account_id,
       CASE WHEN row_number() OVER (PARTITION BY n.user_account_id, n.coupon_id
                                    ORDER BY n.ordered_at, n.enrollment_id) = 1
            THEN n.coupon_id END,
       'O-' || lpad(row_number() OVER (ORDER BY n.ordered_at, n.enrollment_id)::text, 6, '0'),
       'pending', n.ordered_at, n.currency_code,
       CASE WHEN n.odd %% 10 < 4 THEN 'mobile' WHEN n.odd %% 10 = 9 THEN 'marketplace'
            ELSE 'web' END,
       n.ordered_at
FROM (
    SELECT e.business_id, e.enrollment_id, l.user_account_id, b.currency_code, h.odd,
           e.enrolled_at - interval '15 minutes' AS ordered_at,
           CASE WHEN h.odd %% 6 = 1 THEN (
               SELECT k.coupon_id
               FROM courses.coupon AS k
               WHERE k.business_id = e.business_id AND k.percent_off IS NOT NULL
                 AND e.enrolled_at > k.starts_at + interval '1 hour'
                 AND e.enrolled_at < coalesce(k.expires_at, 'infinity')
                 AND k.code NOT LIKE 'PARTNER%%'
               ORDER BY k.expires_at NULLS LAST, k.code
               LIMIT 1) END AS coupon_id
    FROM courses.enrollment AS e
    JOIN courses.learner AS l ON l.business_id = e.business_id AND l.learner_id = e.learner_id
    JOIN courses.course_section AS s
        ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
    JOIN courses.course AS c
        ON c.business_id = s.business_id AND c.course_id = s.course_id AND NOT c.is_free
    JOIN tenant_mgmt.business AS b ON b.business_id = e.business_id
    CROSS JOIN LATERAL (
        SELECT ('x' || substr(md5('o' || e.enrollment_id::text), 1, 7))::bit(28)::integer AS odd
    ) AS h
    WHERE e.business_id = %(business_id)s AND e.source = 'self' AND e.enrolled_at IS NOT NULL
) AS n;

INSERT INTO courses.course_order_line
    (business_id, course_order_line_id, course_order_id, price_offer_id, line_no, quantity,
     unit_amount, discount_amount, tax_amount, recognition_starts_on, recognition_ends_on)
SELECT o.business_id, md5('line ' || e.enrollment_id)::uuid, o.course_order_id, f.price_offer_id,
       1, 1, p.price, d.discount,
       CASE WHEN f.tax_category = 'digital' THEN round((p.price - d.discount) * 0.08, 2) ELSE 0 END,
       greatest(s.starts_on, o.ordered_at::date),
       greatest(s.ends_on, o.ordered_at::date)
FROM courses.enrollment AS e
JOIN courses.course_order AS o
    ON o.business_id = e.business_id AND o.course_order_id = md5('order ' || e.enrollment_id)::uuid
JOIN courses.course_section AS s
    ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
JOIN LATERAL (
    SELECT x.*
    FROM courses.price_offer AS x
    WHERE x.business_id = s.business_id
      AND (x.course_section_id = s.course_section_id
           OR (x.course_id = s.course_id
               AND (x.pricing = 'one_time' OR (x.pricing = 'installments'
                    AND substr(md5('i' || e.enrollment_id), 1, 1) IN ('0', '1', '2')))))
    ORDER BY x.course_section_id NULLS LAST, x.pricing
    LIMIT 1
) AS f ON true
CROSS JOIN LATERAL (
    SELECT CASE WHEN o.ordered_at < f.early_bird_until THEN f.early_bird_amount
                ELSE f.amount END AS price
) AS p
LEFT JOIN courses.coupon AS k ON k.business_id = o.business_id AND k.coupon_id = o.coupon_id
CROSS JOIN LATERAL (
    SELECT coalesce(round(p.price * k.percent_off / 100, 2), 0) AS discount
) AS d
WHERE e.business_id = %(business_id)s;

-- Companies order for their people, by section, some seats more than they fill.
INSERT INTO courses.course_order
    (business_id, course_order_id, buyer_user_account_id, order_number, status, ordered_at,
     currency_code, purchase_order_number, channel, terms_accepted_at)
SELECT %(business_id)s, md5('bulk ' || n.course_section_id || n.payer)::uuid, n.user_account_id,
       'B-' || lpad(row_number() OVER (ORDER BY n.ordered_at, n.course_section_id, n.payer)::text,
                    5, '0'),
       'pending', n.ordered_at, b.currency_code,
       'PO-' || upper(substr(md5(n.course_section_id || n.payer), 1, 6)), 'invoice', n.ordered_at
FROM (
    SELECT e.course_section_id, coalesce(l.employer_name, 'Others') AS payer,
           min(l.user_account_id::text)::uuid AS user_account_id,
           min(e.enrolled_at) - interval '2 days' AS ordered_at
    FROM courses.enrollment AS e
    JOIN courses.learner AS l ON l.business_id = e.business_id AND l.learner_id = e.learner_id
    JOIN courses.course_section AS s
        ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
    JOIN courses.course AS c
        ON c.business_id = s.business_id AND c.course_id = s.course_id AND NOT c.is_free
    WHERE e.business_id = %(business_id)s AND e.source = 'bulk' AND e.enrolled_at IS NOT NULL
    GROUP BY e.course_section_id, coalesce(l.employer_name, 'Others')
) AS n
JOIN tenant_mgmt.business AS b ON b.business_id = %(business_id)s;

INSERT INTO courses.course_order_line
    (business_id, course_order_line_id, course_order_id, price_offer_id, line_no, quantity,
     unit_amount, recognition_starts_on, recognition_ends_on)
SELECT o.business_id, md5('line ' || o.course_order_id)::uuid, o.course_order_id,
       f.price_offer_id, 1, n.seats + o.place %% 3, f.amount,
       greatest(s.starts_on, o.ordered_at::date), greatest(s.ends_on, o.ordered_at::date)
FROM (
    SELECT e.course_section_id,
           md5('bulk ' || e.course_section_id || coalesce(l.employer_name, 'Others'))::uuid
               AS course_order_id,
           count(*) AS seats
    FROM courses.enrollment AS e
    JOIN courses.learner AS l ON l.business_id = e.business_id AND l.learner_id = e.learner_id
    WHERE e.business_id = %(business_id)s AND e.source = 'bulk' AND e.enrolled_at IS NOT NULL
      AND e.course_section_id IS NOT NULL
    GROUP BY e.course_section_id, coalesce(l.employer_name, 'Others')
) AS n
JOIN (
    SELECT x.*, row_number() OVER (ORDER BY x.order_number) AS place
    FROM courses.course_order AS x
    WHERE x.business_id = %(business_id)s
) AS o ON o.course_order_id = n.course_order_id
JOIN courses.course_section AS s
    ON s.business_id = o.business_id AND s.course_section_id = n.course_section_id
JOIN courses.price_offer AS f
    ON f.business_id = s.business_id AND f.course_id = s.course_id AND f.pricing = 'one_time';

UPDATE courses.enrollment AS e
SET course_order_line_id = l.course_order_line_id
FROM courses.course_order_line AS l
WHERE e.business_id = %(business_id)s AND l.business_id = e.business_id
  AND l.course_order_line_id = md5('line ' || e.enrollment_id)::uuid;

UPDATE courses.enrollment AS e
SET course_order_line_id = o.course_order_line_id
FROM courses.learner AS l
JOIN courses.course_order_line AS o ON o.business_id = l.business_id
WHERE e.business_id = %(business_id)s AND l.business_id = e.business_id
  AND l.learner_id = e.learner_id AND e.source = 'bulk' AND e.enrolled_at IS NOT NULL
  AND o.course_order_id
      = md5('bulk ' || e.course_section_id || coalesce(l.employer_name, 'Others'))::uuid;

-- Programs are bought in parts.
INSERT INTO courses.course_order
    (business_id, course_order_id, buyer_user_account_id, order_number, status, ordered_at,
     currency_code, channel, terms_accepted_at)
SELECT e.business_id, md5('order ' || e.enrollment_id)::uuid, l.user_account_id,
       'O-' || e.enrollment_number, 'pending', e.enrolled_at - interval '1 hour',
       f.currency_code, 'sales', e.enrolled_at - interval '1 hour'
FROM courses.enrollment AS e
JOIN courses.learner AS l
    ON l.business_id = e.business_id AND l.learner_id = e.learner_id
   AND l.user_account_id IS NOT NULL
JOIN courses.price_offer AS f
    ON f.business_id = e.business_id AND f.program_id = e.program_id
WHERE e.business_id = %(business_id)s AND e.source = 'self';

INSERT INTO courses.course_order_line
    (business_id, course_order_line_id, course_order_id, price_offer_id, line_no, quantity,
     unit_amount, recognition_starts_on, recognition_ends_on)
SELECT o.business_id, md5('line ' || e.enrollment_id)::uuid, o.course_order_id, f.price_offer_id,
       1, 1, f.amount, e.enrolled_at::date, e.due_on
FROM courses.enrollment AS e
JOIN courses.course_order AS o
    ON o.business_id = e.business_id AND o.course_order_id = md5('order ' || e.enrollment_id)::uuid
JOIN courses.price_offer AS f
    ON f.business_id = e.business_id AND f.program_id = e.program_id
WHERE e.business_id = %(business_id)s;

UPDATE courses.enrollment AS e
SET course_order_line_id = l.course_order_line_id
FROM courses.course_order_line AS l
WHERE e.business_id = %(business_id)s AND l.business_id = e.business_id
  AND e.program_id IS NOT NULL
  AND l.course_order_line_id = md5('line ' || e.enrollment_id)::uuid;

-- Paid at once, or in parts as long as the learner stays; invoices three weeks later.
INSERT INTO courses.course_payment
    (business_id, course_payment_id, course_order_id, payment_number, method, provider_reference,
     amount, fee_amount, installment_no, due_on, attempted_at, paid_at, status, last4)
SELECT o.business_id, md5('payment ' || i.number || o.course_order_id)::uuid, o.course_order_id,
       'PAY-' || o.order_number || '-' || i.number, m.method,
       CASE WHEN m.method IN ('card', 'paypal', 'wallet')
            THEN 'ch_' || substr(md5(i.number || o.course_order_id::text), 1, 20) END,
       CASE WHEN i.number < f.parts THEN round(o.total_amount / f.parts, 2)
            ELSE o.total_amount - round(o.total_amount / f.parts, 2) * (f.parts - 1) END,
       CASE WHEN t.paid_at IS NOT NULL AND m.method IN ('card', 'paypal', 'wallet')
            THEN round(o.total_amount / f.parts * 0.029 + 0.30, 2) ELSE 0 END,
       CASE WHEN f.parts > 1 THEN i.number END, t.due_at::date, t.paid_at, t.paid_at,
       CASE WHEN t.paid_at IS NOT NULL THEN 'succeeded' WHEN o.channel = 'invoice' THEN 'pending'
            ELSE 'scheduled' END,
       CASE WHEN m.method = 'card' THEN lpad((h.odd %% 10000)::text, 4, '0') END
FROM courses.course_order AS o
JOIN courses.course_order_line AS l
    ON l.business_id = o.business_id AND l.course_order_id = o.course_order_id AND l.line_no = 1
JOIN (
    SELECT x.business_id, x.price_offer_id, coalesce(x.installment_count, 1) AS parts
    FROM courses.price_offer AS x
    WHERE x.business_id = %(business_id)s
) AS f ON f.price_offer_id = l.price_offer_id
LEFT JOIN courses.enrollment AS e
    ON e.business_id = l.business_id AND e.course_order_line_id = l.course_order_line_id
   AND o.channel <> 'invoice'
CROSS JOIN LATERAL generate_series(1, f.parts) AS i (number)
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5('p' || o.course_order_id::text), 1, 7))::bit(28)::integer AS odd
) AS h
CROSS JOIN LATERAL (
    SELECT CASE WHEN o.channel = 'invoice' THEN 'invoice'
                ELSE split_part('card,card,card,card,card,card,card,paypal,wallet,bank_transfer',
                                ',', 1 + h.odd %% 10) END AS method
) AS m
CROSS JOIN LATERAL (
    SELECT CASE WHEN o.channel = 'invoice' THEN o.ordered_at + interval '30 days'
                ELSE o.ordered_at + make_interval(months => i.number - 1) END AS due_at
) AS d
CROSS JOIN LATERAL (
    SELECT d.due_at,
           CASE WHEN e.status = 'pending_payment' THEN NULL
                WHEN o.channel = 'invoice'
                THEN CASE WHEN d.due_at - interval '9 days' < %(as_of)s::timestamptz
                          THEN d.due_at - interval '9 days' END
                WHEN i.number = 1 THEN o.ordered_at + interval '10 minutes'
                WHEN d.due_at < least(%(as_of)s::timestamptz,
                                      coalesce(e.withdrawn_at, 'infinity'))
                THEN d.due_at - interval '1 hour' END AS paid_at
) AS t
WHERE o.business_id = %(business_id)s AND o.status = 'pending' AND o.total_amount > 0
  AND (i.number = 1 OR e.withdrawn_at IS NULL OR t.paid_at IS NOT NULL);

-- A few cards were declined before they went through.
INSERT INTO courses.course_payment
    (business_id, course_payment_id, course_order_id, payment_number, method, provider_reference,
     amount, installment_no, attempted_at, status, failure_code, last4)
SELECT p.business_id, md5('declined ' || p.course_payment_id)::uuid, p.course_order_id,
       p.payment_number || '-X', p.method, 'ch_' || substr(md5('x' || p.course_payment_id), 1, 20),
       p.amount, p.installment_no, p.paid_at - interval '3 minutes',
       'failed',
       split_part('card_declined,insufficient_funds,expired_card', ',',
                  (1 + p.place %% 3)::integer),
       p.last4
FROM (
    SELECT x.*, row_number() OVER (ORDER BY md5(x.course_payment_id::text)) AS place
    FROM courses.course_payment AS x
    WHERE x.business_id = %(business_id)s AND x.method = 'card' AND x.status = 'succeeded'
) AS p
WHERE p.place %% 18 = 1;

-- Carts that were left, orders that were given up, cards that never worked.
INSERT INTO courses.course_order
    (business_id, course_order_id, buyer_user_account_id, order_number, status, ordered_at,
     currency_code, channel, created_at)
SELECT l.business_id, md5('left ' || l.learner_id)::uuid, l.user_account_id,
       'C-' || lpad(l.place::text, 6, '0'),
       CASE l.place %% 4 WHEN 0 THEN 'cancelled' WHEN 1 THEN 'failed' ELSE 'cart' END,
       CASE WHEN l.place %% 4 < 2 THEN t.moment END, b.currency_code,
       CASE WHEN l.place %% 3 = 0 THEN 'mobile' ELSE 'web' END, t.moment
FROM (
    SELECT x.*, row_number() OVER (ORDER BY md5('c' || x.learner_id::text)) AS place,
           count(*) OVER () AS people
    FROM courses.learner AS x
    WHERE x.business_id = %(business_id)s AND x.user_account_id IS NOT NULL
) AS l
JOIN tenant_mgmt.business AS b ON b.business_id = l.business_id
CROSS JOIN LATERAL (
    SELECT %(as_of)s::timestamptz - (1 + l.place * 13 %% 300) * interval '17 hours' AS moment
) AS t
WHERE l.place <= greatest(4, l.people / 4);

INSERT INTO courses.course_order_line
    (business_id, course_order_line_id, course_order_id, price_offer_id, line_no, quantity,
     unit_amount)
SELECT o.business_id, md5('line ' || o.course_order_id)::uuid, o.course_order_id,
       f.price_offer_id, 1, 1, f.amount
FROM (
    SELECT x.*, row_number() OVER (ORDER BY x.order_number) AS place
    FROM courses.course_order AS x
    WHERE x.business_id = %(business_id)s AND x.order_number LIKE 'C-%%'
) AS o
JOIN (
    SELECT x.*, row_number() OVER (ORDER BY x.offer_code) - 1 AS place, count(*) OVER () AS offers
    FROM courses.price_offer AS x
    WHERE x.business_id = %(business_id)s AND x.pricing = 'one_time' AND x.course_id IS NOT NULL
) AS f ON f.place = o.place * 7 %% f.offers;

INSERT INTO courses.course_payment
    (business_id, course_payment_id, course_order_id, payment_number, method, provider_reference,
     amount, attempted_at, status, failure_code, last4)
SELECT o.business_id, md5('payment ' || o.course_order_id)::uuid, o.course_order_id,
       'PAY-' || o.order_number, 'card', 'ch_' || substr(md5(o.course_order_id::text), 1, 20),
       o.total_amount, o.ordered_at + interval '2 minutes', 'failed', 'card_declined',
       lpad((('x' || substr(md5(o.order_number), 1, 4))::bit(16)::integer %% 10000)::text, 4, '0')
FROM courses.course_order AS o
WHERE o.business_id = %(business_id)s AND o.status = 'failed';

SELECT courses.recognize_revenue(%(as_of)s::date);
