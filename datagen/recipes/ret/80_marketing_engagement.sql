SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

INSERT INTO ret.segment
    (business_id, segment_id, segment_code, display_name, segment_kind, rule_doc,
     refresh_every_minutes, refreshed_at, is_active, created_at, updated_at)
SELECT %(business_id)s, md5('segment ' || d.code || %(business_id)s)::uuid, d.code, d.title,
       d.kind, d.rule::jsonb, d.every,
       CASE WHEN d.kind <> 'manual' THEN %(as_of)s::timestamptz - d.ago * interval '1 minute' END,
       d.code <> 'OLD-LAPSED', %(as_of)s::timestamptz - interval '400 days',
       %(as_of)s::timestamptz - d.ago * interval '1 minute'
FROM (VALUES
    ('NEWSLETTER', 'Gets our mail', 'rule',
     '{"fact": "may_contact", "value": "email"}', 60, 20),
    ('REACH-SMS', 'Gets our texts', 'rule',
     '{"fact": "may_contact", "value": "sms"}', 60, 20),
    ('REGULARS', 'Bought three times or more', 'rule',
     '{"fact": "order_count", "op": ">=", "value": 3}', 1440, 300),
    ('LAPSED', 'Has not bought for a month', 'rule',
     '{"all": [{"fact": "order_count", "op": ">", "value": 0},
               {"fact": "days_since_order", "op": ">", "value": 30}]}', 1440, 300),
    ('NEW-ONLINE', 'Came by the web and is new', 'rule',
     '{"all": [{"fact": "acquisition_channel", "value": "web"},
               {"fact": "days_as_customer", "op": "<=", "value": 120}]}', 1440, 300),
    ('TRADE', 'Firms', 'rule', '{"fact": "customer_kind", "value": "company"}', 10080, 4000),
    ('CHAMPIONS', 'Best fifth by value', 'rfm', NULL, 1440, 200),
    ('AT-RISK', 'Likely to leave', 'predicted',
     '{"fact": "days_since_order", "op": ">", "value": 14}', 1440, 200),
    ('GALA-2026', 'Invited to the opening', 'manual', NULL, NULL, 5000),
    ('OLD-LAPSED', 'Has not bought for a year', 'rule',
     '{"fact": "days_since_order", "op": ">", "value": 365}', NULL, 90000)
) AS d (code, title, kind, rule, every, ago);

-- Who is in: by the rule, by value, by a guess, or invited by hand; one in ten is left alone.
INSERT INTO ret.segment_member
    (business_id, segment_member_id, segment_id, customer_id, entered_at, left_at, entry_reason,
     score, is_control_group, snapshot_value, created_at, updated_at)
SELECT %(business_id)s, md5('member ' || s.segment_id || c.customer_id)::uuid, s.segment_id,
       c.customer_id, e.entered_at, NULL,
       CASE s.segment_kind WHEN 'manual' THEN 'manual' WHEN 'predicted' THEN 'prediction'
                           ELSE 'rule' END,
       CASE s.segment_kind WHEN 'predicted' THEN round(0.55 + c.draw %% 400 / 1000.0, 4)
                           WHEN 'rfm' THEN 5 END,
       c.draw %% 10 = 0, c.lifetime_value, e.entered_at, e.entered_at
FROM (
    SELECT x.*, ('x' || substr(md5('segment ' || x.customer_id), 1, 7))::bit(28)::integer AS draw,
           row_number() OVER (ORDER BY x.lifetime_value DESC, x.customer_number) AS place,
           count(*) OVER () AS customers
    FROM ret.customer AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
) AS c
JOIN ret.customer AS k
    ON k.business_id = c.business_id AND k.customer_id = c.customer_id
CROSS JOIN ret.segment AS s
CROSS JOIN LATERAL (
    SELECT greatest(c.created_at + interval '1 hour',
                    %(as_of)s::timestamptz - (1 + c.draw %% 120) * interval '1 day')
               AS entered_at
) AS e
WHERE s.business_id = %(business_id)s AND s.is_active
  AND CASE s.segment_kind
      WHEN 'rule' THEN ret.fits_segment(ROW(k.*)::ret.customer, s.rule_doc, %(as_of)s)
      WHEN 'predicted'
      THEN c.draw %% 2 = 0 AND ret.fits_segment(ROW(k.*)::ret.customer, s.rule_doc, %(as_of)s)
      WHEN 'rfm' THEN c.place <= greatest(1, c.customers / 5)
      ELSE c.draw %% 20 = 3 OR c.place = 1 END;

-- Whoever is no longer lapsed was so once.
INSERT INTO ret.segment_member
    (business_id, segment_member_id, segment_id, customer_id, entered_at, left_at, entry_reason,
     is_control_group, snapshot_value, created_at, updated_at)
SELECT %(business_id)s, md5('stay ' || s.segment_id || c.customer_id)::uuid, s.segment_id,
       c.customer_id, c.last_order_at - interval '20 days', c.last_order_at + interval '6 hours',
       'rule', c.draw %% 10 = 0, c.lifetime_value, c.last_order_at - interval '20 days',
       c.last_order_at + interval '6 hours'
FROM (
    SELECT x.*, ('x' || substr(md5('segment ' || x.customer_id), 1, 7))::bit(28)::integer AS draw
    FROM ret.customer AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active' AND x.order_count > 1
) AS c
JOIN ret.segment AS s
    ON s.business_id = c.business_id AND s.segment_code = 'LAPSED'
WHERE c.draw %% 4 = 1 AND c.last_order_at < %(as_of)s::timestamptz - interval '1 day'
  AND c.last_order_at - interval '20 days' > c.created_at
  AND NOT EXISTS (SELECT FROM ret.segment_member AS m
                  WHERE m.business_id = c.business_id AND m.segment_id = s.segment_id
                    AND m.customer_id = c.customer_id);

UPDATE ret.segment AS s
SET estimated_value = n.value
FROM (
    SELECT m.segment_id, round(sum(greatest(c.lifetime_value, 0)) * 0.7, 2) AS value
    FROM ret.segment_member AS m
    JOIN ret.customer AS c
        ON c.business_id = m.business_id AND c.customer_id = m.customer_id
    WHERE m.business_id = %(business_id)s AND m.left_at IS NULL
    GROUP BY m.segment_id
) AS n
WHERE s.business_id = %(business_id)s AND s.segment_id = n.segment_id;

-- Newsletters of four months, texts, journeys that run all the time, and what is planned.
INSERT INTO ret.campaign
    (business_id, campaign_id, segment_id, promotion_id, campaign_code, title, campaign_kind,
     contact_channel, subject_line, variants_doc, control_pct, scheduled_at, started_at,
     finished_at, budget_amount, attribution_days, state, created_at, updated_at)
SELECT %(business_id)s, md5('campaign ' || d.code || %(business_id)s)::uuid, s.segment_id,
       p.promotion_id, d.code, d.title, d.kind, d.channel,
       CASE WHEN d.channel IN ('email', 'push') THEN d.subject END,
       CASE WHEN d.has_variants
            THEN jsonb_build_array(
                jsonb_build_object('code', 'A', 'share', 50, 'subject', d.subject),
                jsonb_build_object('code', 'B', 'share', 50, 'subject', d.subject || ' - today'))
            END,
       CASE WHEN d.state <> 'draft' THEN 10 END,
       CASE WHEN d.state <> 'draft' THEN t.moment END,
       CASE WHEN d.state IN ('running', 'paused', 'finished') THEN t.moment END,
       CASE WHEN d.state = 'finished' THEN t.moment + interval '2 days' END,
       d.budget, CASE WHEN d.state <> 'draft' THEN d.days END, d.state,
       least(t.moment, %(as_of)s) - interval '9 days',
       least(t.moment, %(as_of)s) - interval '1 day'
FROM (VALUES
    ('NEWS-03', 'March newsletter', 'broadcast', 'email', 'Spring is here', 'NEWSLETTER', true,
     80, 400, 30, 'finished'),
    ('NEWS-04', 'April newsletter', 'broadcast', 'email', 'What is new in April', 'NEWSLETTER',
     true, 52, 400, 30, 'finished'),
    ('NEWS-05', 'May newsletter', 'broadcast', 'email', 'For long evenings', 'NEWSLETTER', true,
     24, 400, 30, 'finished'),
    ('WEEKEND-TEXT', 'Weekend offer by text', 'broadcast', 'sms', NULL, 'REACH-SMS', false,
     10, 250, 14, 'finished'),
    ('SUMMER-START', 'Start of summer', 'broadcast', 'email', 'Summer starts now', 'NEWSLETTER',
     true, 1, 500, 30, 'running'),
    ('NEWS-06', 'June newsletter', 'broadcast', 'email', 'Ready for June', 'NEWSLETTER', false,
     -9, 400, 30, 'scheduled'),
    ('AUTUMN', 'Autumn preview', 'broadcast', 'email', NULL, NULL, false, -60, 0, 7, 'draft'),
    ('CART', 'Cart left behind', 'abandoned_cart', 'email', 'Still thinking it over?', NULL,
     false, 110, 900, 14, 'running'),
    ('WELCOME', 'Welcome', 'welcome', 'email', 'Good to have you', NULL, false, 110, 300, 14,
     'running'),
    ('BIRTHDAY', 'Birthday', 'birthday', 'email', 'A gift for your day', NULL, false, 110, 300,
     14, 'running'),
    ('WIN-BACK', 'We miss you', 'win_back', 'email', 'It has been a while', 'LAPSED', false, 35,
     200, 14, 'paused'),
    ('FLYER', 'Flyer for the opening', 'broadcast', 'post', NULL, 'GALA-2026', false, 40, 700,
     NULL, 'cancelled')
) AS d (code, title, kind, channel, subject, segment, has_variants, ago, budget, days, state)
JOIN tenant_mgmt.business AS b ON b.business_id = %(business_id)s
CROSS JOIN LATERAL (
    SELECT ((%(as_of)s AT TIME ZONE b.time_zone)::date - d.ago + time '08:30')
               AT TIME ZONE b.time_zone AS moment
) AS t
LEFT JOIN ret.segment AS s
    ON s.business_id = %(business_id)s AND s.segment_code = d.segment
LEFT JOIN (
    SELECT x.promotion_id
    FROM ret.promotion AS x
    WHERE x.business_id = %(business_id)s AND x.state = 'active'
    ORDER BY x.promotion_code
    LIMIT 1
) AS p ON d.code = 'SUMMER-START';

-- One message a customer and send, in the morning; what consent does not allow stays here. Of what
-- went out 28 in 100 are opened, 3.5 clicked, 1.5 come back.
INSERT INTO ret.campaign_message
    (business_id, campaign_message_id, campaign_id, customer_id, coupon_id, sent_at, variant_code,
     state, delivered_at, opened_at, clicked_at, link_clicked, provider_message_id, cost_amount,
     created_at)
SELECT %(business_id)s, q.message_id, q.campaign_id, q.customer_id, q.coupon_id, q.sent_at,
       CASE WHEN q.has_variants THEN CASE q.draw / 7 %% 2 WHEN 0 THEN 'A' ELSE 'B' END END,
       q.state,
       CASE WHEN q.state IN ('delivered', 'opened', 'clicked')
            THEN q.sent_at + (2 + q.draw %% 50) * interval '1 second' END,
       CASE WHEN q.state IN ('opened', 'clicked') THEN q.opened_at END,
       CASE WHEN q.state = 'clicked' THEN q.opened_at + interval '40 seconds' END,
       CASE WHEN q.state = 'clicked'
            THEN CASE q.draw %% 3 WHEN 0 THEN '/new' WHEN 1 THEN '/offers' ELSE '/' END END,
       CASE WHEN q.state NOT IN ('queued', 'suppressed')
            THEN 'msg_' || substr(md5('provider ' || q.message_id), 1, 16) END,
       CASE WHEN q.state IN ('queued', 'suppressed') THEN 0
            WHEN q.contact_channel = 'sms' THEN 0.06 ELSE 0.01 END,
       q.queued_at
FROM (
    SELECT p.*, md5('message ' || p.about)::uuid AS message_id,
           p.sent_at + (3 + p.draw %% 1100) * interval '1 minute' AS opened_at,
           least(p.sent_at, %(as_of)s) - interval '30 minutes' AS queued_at,
           CASE WHEN NOT ret.may_contact(p.customer_id, p.contact_channel, 'marketing',
                                         least(p.sent_at, %(as_of)s)) THEN 'suppressed'
                WHEN p.sent_at > %(as_of)s THEN 'queued'
                WHEN p.draw %% 1000 < 15 THEN 'bounced'
                WHEN p.contact_channel <> 'email'
                     OR p.sent_at + (3 + p.draw %% 1100) * interval '1 minute'
                        > %(as_of)s::timestamptz - interval '5 minutes' THEN 'delivered'
                WHEN p.draw %% 1000 < 50 THEN 'clicked'
                WHEN p.draw %% 1000 < 300 THEN 'opened'
                ELSE 'delivered' END AS state
    FROM (
        SELECT a.campaign_id, a.contact_channel, a.variants_doc IS NOT NULL AS has_variants,
               w.customer_id, w.coupon_id, w.sent_at, w.about,
               ('x' || substr(md5('fate ' || w.about), 1, 7))::bit(28)::integer AS draw
        FROM (
            -- Sends to a segment, over an hour; half of the one that runs goes out tomorrow.
            SELECT c.campaign_id, k.customer_id, NULL::uuid AS coupon_id,
                   c.started_at + (h.draw %% 60) * interval '1 minute'
                   + CASE WHEN c.state = 'running' AND h.draw %% 2 = 0 THEN interval '2 days'
                          ELSE interval '0' END AS sent_at,
                   c.campaign_code || k.customer_id AS about
            FROM ret.campaign AS c
            JOIN ret.segment AS s
                ON s.business_id = c.business_id AND s.segment_id = c.segment_id
            JOIN ret.customer AS k
                ON k.business_id = c.business_id AND k.status = 'active'
               AND k.created_at < c.started_at
            CROSS JOIN LATERAL (
                SELECT ('x' || substr(md5(c.campaign_code || k.customer_id), 1, 7))
                           ::bit(28)::integer AS draw
            ) AS h
            WHERE c.business_id = %(business_id)s AND c.started_at IS NOT NULL
              AND h.draw / 100 %% 10 > 0
              AND CASE WHEN s.segment_code IN ('NEWSLETTER', 'REACH-SMS')
                       -- A few who took it back meanwhile: they are held back below.
                       THEN EXISTS (SELECT FROM ret.customer_consent AS n
                                    WHERE n.business_id = k.business_id
                                      AND n.customer_id = k.customer_id
                                      AND n.purpose = 'marketing'
                                      AND n.contact_channel = c.contact_channel
                                      AND n.decision = 'granted'
                                      AND n.decided_at < c.started_at)
                       ELSE EXISTS (SELECT FROM ret.segment_member AS m
                                    WHERE m.business_id = k.business_id
                                      AND m.segment_id = s.segment_id
                                      AND m.customer_id = k.customer_id
                                      AND m.entered_at < c.started_at
                                      AND (m.left_at IS NULL OR m.left_at > c.started_at)) END
              AND NOT EXISTS (SELECT FROM ret.segment_member AS m
                              WHERE m.business_id = k.business_id
                                AND m.segment_id = s.segment_id
                                AND m.customer_id = k.customer_id AND m.is_control_group)
            UNION ALL
            -- The morning after a cart was left.
            SELECT c.campaign_id, t.customer_id, NULL, e.morning, 'cart ' || t.cart_id
            FROM ret.cart AS t
            JOIN tenant_mgmt.business AS b ON b.business_id = t.business_id
            JOIN ret.campaign AS c
                ON c.business_id = t.business_id AND c.campaign_code = 'CART'
            CROSS JOIN LATERAL (
                SELECT ((t.abandoned_at AT TIME ZONE b.time_zone)::date + 1 + time '09:00')
                           AT TIME ZONE b.time_zone AS morning
            ) AS e
            WHERE t.business_id = %(business_id)s AND t.state = 'abandoned'
              AND t.customer_id IS NOT NULL AND e.morning > c.started_at
              AND e.morning < %(as_of)s
              AND ('x' || substr(md5('left ' || t.cart_id), 1, 7))::bit(28)::integer %% 10 > 0
            UNION ALL
            SELECT c.campaign_id, k.customer_id, NULL, e.morning, 'welcome ' || k.customer_id
            FROM ret.customer AS k
            JOIN tenant_mgmt.business AS b ON b.business_id = k.business_id
            JOIN ret.campaign AS c
                ON c.business_id = k.business_id AND c.campaign_code = 'WELCOME'
            CROSS JOIN LATERAL (
                SELECT ((k.created_at AT TIME ZONE b.time_zone)::date + 1 + time '10:00')
                           AT TIME ZONE b.time_zone AS morning
            ) AS e
            WHERE k.business_id = %(business_id)s AND k.status = 'active'
              AND e.morning > c.started_at AND e.morning < %(as_of)s
            UNION ALL
            -- A coupon for the birthday goes to its owner.
            SELECT c.campaign_id, u.customer_id, u.coupon_id, e.morning,
                   'birthday ' || u.coupon_id
            FROM ret.coupon AS u
            JOIN ret.customer AS k
                ON k.business_id = u.business_id AND k.customer_id = u.customer_id
               AND k.status = 'active'
            JOIN tenant_mgmt.business AS b ON b.business_id = u.business_id
            JOIN ret.campaign AS c
                ON c.business_id = u.business_id AND c.campaign_code = 'BIRTHDAY'
            CROSS JOIN LATERAL (
                SELECT greatest(u.issued_at, k.created_at + interval '1 hour',
                                ((u.issued_at AT TIME ZONE 'UTC')::date + time '09:00')
                                    AT TIME ZONE b.time_zone) AS morning
            ) AS e
            WHERE u.business_id = %(business_id)s AND u.coupon_kind = 'personal'
              AND u.issue_source = 'campaign'
              AND e.morning > c.started_at AND e.morning < %(as_of)s
        ) AS w
        JOIN ret.campaign AS a
            ON a.business_id = %(business_id)s AND a.campaign_id = w.campaign_id
    ) AS p
) AS q;

-- Who took consent to mail back did so from the last message before.
UPDATE ret.campaign_message AS m
SET state = 'unsubscribed', opened_at = coalesce(m.opened_at, n.decided_at)
FROM (
    SELECT DISTINCT ON (c.customer_consent_id) x.campaign_message_id, x.sent_at, c.decided_at
    FROM ret.customer_consent AS c
    JOIN ret.campaign_message AS x
        ON x.business_id = c.business_id AND x.customer_id = c.customer_id
       AND x.sent_at < c.decided_at AND x.sent_at > c.decided_at - interval '14 days'
       AND x.state IN ('delivered', 'opened', 'clicked')
       AND coalesce(x.opened_at, x.sent_at) <= c.decided_at
    JOIN ret.campaign AS p
        ON p.business_id = x.business_id AND p.campaign_id = x.campaign_id
       AND p.contact_channel = c.contact_channel
    WHERE c.business_id = %(business_id)s AND c.purpose = 'marketing'
      AND c.decision = 'withdrawn' AND c.contact_channel = 'email'
    ORDER BY c.customer_consent_id, x.sent_at DESC, x.campaign_message_id
) AS n
WHERE m.business_id = %(business_id)s AND m.campaign_message_id = n.campaign_message_id
  AND m.sent_at = n.sent_at;

-- As ret.attribute_order() credits: to the last message, or to all that reached in time.
INSERT INTO ret.campaign_conversion
    (business_id, campaign_conversion_id, campaign_id, sales_order_id, customer_id, attributed_at,
     attribution_model, credit_share, touch_count, revenue_credited, margin_credited,
     hours_to_convert, is_incremental, created_at, updated_at)
SELECT %(business_id)s, md5(r.model || r.campaign_id || r.sales_order_id)::uuid, r.campaign_id,
       r.sales_order_id, r.customer_id, e.moment, r.model, r.upto - r.since, r.touches,
       round(r.goods * r.upto, 2) - round(r.goods * r.since, 2),
       least(round((r.goods - r.cost_total) * r.upto, 2)
             - round((r.goods - r.cost_total) * r.since, 2),
             round(r.goods * r.upto, 2) - round(r.goods * r.since, 2)),
       round((extract(epoch FROM r.placed_at - r.latest) / 3600)::numeric, 2),
       ('x' || substr(md5('lift ' || r.sales_order_id), 1, 7))::bit(28)::integer %% 10 < 3,
       e.moment, e.moment
FROM (
    SELECT s.*, lag(s.upto, 1, 0::numeric) OVER w AS since
    FROM (
        SELECT g.*,
               round(sum(g.weight) OVER (PARTITION BY g.sales_order_id, g.model
                                         ORDER BY g.latest, g.campaign_id)
                     / sum(g.weight) OVER (PARTITION BY g.sales_order_id, g.model), 4) AS upto
        FROM (
            SELECT t.sales_order_id, t.customer_id, t.placed_at, t.goods, t.cost_total,
                   t.campaign_id, v.model, count(*) AS touches, max(t.sent_at) AS latest,
                   sum(CASE v.model WHEN 'linear' THEN 1 ELSE (t.last = 1)::integer END)::numeric
                       AS weight
            FROM (
                SELECT o.sales_order_id, o.customer_id, o.placed_at, o.cost_total,
                       o.subtotal - o.discount_total AS goods, m.campaign_id, m.sent_at,
                       row_number() OVER (PARTITION BY o.sales_order_id
                                          ORDER BY m.sent_at DESC, m.campaign_message_id DESC)
                           AS last
                FROM ret.sales_order AS o
                JOIN ret.campaign_message AS m
                    ON m.business_id = o.business_id AND m.customer_id = o.customer_id
                   AND m.state NOT IN ('queued', 'bounced', 'suppressed')
                JOIN ret.campaign AS p
                    ON p.business_id = m.business_id AND p.campaign_id = m.campaign_id
                WHERE o.business_id = %(business_id)s AND o.state <> 'cancelled'
                  AND m.sent_at <= o.placed_at
                  AND m.sent_at >= o.placed_at - p.attribution_days * interval '1 day'
            ) AS t
            CROSS JOIN (VALUES ('last_touch'), ('linear')) AS v (model)
            GROUP BY t.sales_order_id, t.customer_id, t.placed_at, t.goods, t.cost_total,
                     t.campaign_id, v.model
        ) AS g
        WHERE g.weight > 0
    ) AS s
    WINDOW w AS (PARTITION BY s.sales_order_id, s.model ORDER BY s.latest, s.campaign_id)
) AS r
CROSS JOIN LATERAL (
    SELECT least(r.placed_at + interval '1 hour', %(as_of)s) AS moment
) AS e
WHERE r.upto > r.since;

-- Who came by a referral was brought by an older customer; a few invitations lead nowhere.
INSERT INTO ret.referral
    (business_id, referral_id, referrer_customer_id, referred_customer_id, first_order_id,
     referral_code, invited_at, invited_via, joined_at, qualified_at, reward_amount,
     reward_paid_at, state, reject_reason, created_at, updated_at)
SELECT %(business_id)s, md5('referral ' || n.customer_id)::uuid, o.customer_id, n.customer_id,
       f.sales_order_id, 'F-' || upper(substr(md5('code ' || n.customer_id), 1, 8)),
       n.created_at - (1 + n.draw %% 9) * interval '1 day',
       (ARRAY['email', 'link', 'sms', 'social'])[1 + n.draw %% 4], n.created_at,
       CASE WHEN q.is_kept THEN q.qualified_at END, 10,
       CASE WHEN q.is_paid THEN q.qualified_at + interval '1 day' END,
       CASE WHEN q.is_paid THEN 'rewarded' WHEN q.is_kept THEN 'qualified' ELSE 'joined' END,
       NULL, n.created_at - (1 + n.draw %% 9) * interval '1 day',
       CASE WHEN q.is_paid THEN q.qualified_at + interval '1 day'
            WHEN q.is_kept THEN q.qualified_at ELSE n.created_at END
FROM (
    SELECT x.*, ('x' || substr(md5('brought ' || x.customer_id), 1, 7))::bit(28)::integer AS draw
    FROM ret.customer AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
      AND x.acquisition_channel = 'referral'
) AS n
JOIN LATERAL (
    SELECT x.customer_id
    FROM ret.customer AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
      AND x.created_at < n.created_at - interval '15 days'
    ORDER BY md5(n.customer_number || x.customer_number), x.customer_id
    LIMIT 1
) AS o ON true
LEFT JOIN LATERAL (
    SELECT y.sales_order_id, y.placed_at
    FROM ret.sales_order AS y
    WHERE y.business_id = %(business_id)s AND y.customer_id = n.customer_id
      AND y.state NOT IN ('pending', 'cancelled', 'returned')
      AND y.placed_at + interval '14 days' < %(as_of)s
      AND y.placed_at >= n.created_at
    ORDER BY y.placed_at, y.sales_order_id
    LIMIT 1
) AS f ON true
CROSS JOIN LATERAL (
    SELECT f.sales_order_id IS NOT NULL AS is_kept, f.placed_at + interval '14 days'
               AS qualified_at,
           coalesce(f.placed_at + interval '15 days' < %(as_of)s, false) AS is_paid
) AS q;

INSERT INTO ret.referral
    (business_id, referral_id, referrer_customer_id, referral_code, invited_at, invited_via,
     reward_amount, state, reject_reason, created_at, updated_at)
SELECT %(business_id)s, md5('invitation ' || c.customer_id)::uuid, c.customer_id,
       'F-' || upper(substr(md5('invitation ' || c.customer_id), 1, 8)),
       t.moment, (ARRAY['link', 'email', 'social', 'sms'])[1 + c.draw %% 4], 10,
       CASE WHEN c.draw / 7 %% 9 = 2 THEN 'rejected' ELSE 'invited' END,
       CASE WHEN c.draw / 7 %% 9 = 2 THEN 'Same household' END, t.moment, t.moment
FROM (
    SELECT x.*, ('x' || substr(md5('invites ' || x.customer_id), 1, 7))::bit(28)::integer AS draw,
           row_number() OVER (ORDER BY x.created_at, x.customer_number) AS place
    FROM ret.customer AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active' AND NOT x.is_guest
) AS c
CROSS JOIN LATERAL (
    SELECT c.created_at + (%(as_of)s::timestamptz - c.created_at) * (c.draw %% 90 + 5) / 100.0
               AS moment
) AS t
WHERE c.draw %% 40 = 3 OR c.place = 1;

-- One bought line in six is reviewed, mostly kindly, a week or three later.
INSERT INTO ret.product_review
    (business_id, product_review_id, moderated_by_user_id, product_id, customer_id,
     sales_order_line_id, rating, title, body_text, is_verified_purchase, submitted_at,
     language_code, sentiment_score, helpful_count, photo_count, fit_feedback, moderation,
     reply_text, replied_at, created_at, updated_at)
SELECT %(business_id)s, md5('review ' || r.sales_order_line_id)::uuid,
       CASE WHEN r.moderation IN ('rejected', 'flagged') OR r.draw %% 5 = 0
            THEN u.user_account_id END,
       r.product_id, r.customer_id,
       CASE WHEN r.draw %% 12 > 0 THEN r.sales_order_line_id END, r.rating,
       (ARRAY['Do not buy', 'Disappointed', 'It is all right', 'Good', 'Love it'])[r.rating],
       CASE r.rating
           WHEN 5 THEN (ARRAY['Exactly what I hoped for.', 'Would buy it again at once.',
                              'Better than in the pictures.'])[1 + r.draw %% 3]
           WHEN 4 THEN (ARRAY['Good, only the box was damaged.', 'Does what it should.',
                              NULL])[1 + r.draw %% 3]
           WHEN 3 THEN 'Fine for the price.'
           WHEN 2 THEN 'Looks cheaper than I thought.'
           ELSE 'Broke after a week.' END,
       r.draw %% 12 > 0, r.submitted_at, r.preferred_language,
       round((r.rating - 3) / 2.2 + (r.draw %% 80 - 40) / 1000.0, 4),
       CASE WHEN r.moderation = 'published' THEN r.draw / 5 %% 9 ELSE 0 END,
       CASE WHEN r.draw / 3 %% 9 = 0 THEN 1 + r.draw %% 3 ELSE 0 END,
       CASE WHEN r.product_kind = 'configurable'
            THEN (ARRAY['true', 'true', 'true', 'small', 'large', 'none'])[1 + r.draw / 11 %% 6]
            ELSE 'none' END,
       r.moderation,
       CASE WHEN r.is_answered THEN 'We are sorry. Please call us and we will make it right.' END,
       CASE WHEN r.is_answered THEN r.submitted_at + interval '22 hours' END,
       r.submitted_at,
       CASE WHEN r.is_answered THEN r.submitted_at + interval '22 hours'
            ELSE r.submitted_at END
FROM (
    SELECT z.*,
           z.moderation = 'published' AND z.rating <= 2 AND z.draw %% 2 = 0
           AND z.submitted_at + interval '22 hours' <= %(as_of)s AS is_answered
    FROM (
        SELECT l.*, (ARRAY[1, 2, 3, 4, 5])[1 + CASE WHEN l.draw / 13 %% 100 < 6 THEN 0
                                                   WHEN l.draw / 13 %% 100 < 12 THEN 1
                                                   WHEN l.draw / 13 %% 100 < 24 THEN 2
                                                   WHEN l.draw / 13 %% 100 < 50 THEN 3
                                                   ELSE 4 END] AS rating,
               CASE WHEN l.submitted_at > %(as_of)s::timestamptz - interval '20 hours'
                    THEN 'pending'
                    WHEN l.draw / 17 %% 100 < 2 THEN 'flagged'
                    WHEN l.draw / 17 %% 100 < 6 THEN 'rejected' ELSE 'published' END
                   AS moderation
        FROM (
            SELECT i.sales_order_line_id, o.customer_id, v.product_id, p.product_kind,
                   c.preferred_language, h.draw,
                   least(e.moment, %(as_of)s::timestamptz - interval '1 hour') AS submitted_at,
                   e.moment < %(as_of)s::timestamptz - interval '1 hour' AS is_written,
                   row_number() OVER (ORDER BY o.placed_at, i.sales_order_line_id) AS place
            FROM ret.sales_order_line AS i
            JOIN ret.sales_order AS o
                ON o.business_id = i.business_id AND o.sales_order_id = i.sales_order_id
            JOIN ret.customer AS c
                ON c.business_id = o.business_id AND c.customer_id = o.customer_id
            JOIN ret.product_variant AS v
                ON v.business_id = i.business_id AND v.product_variant_id = i.product_variant_id
            JOIN ret.product AS p
                ON p.business_id = v.business_id AND p.product_id = v.product_id
            CROSS JOIN LATERAL (
                SELECT ('x' || substr(md5('review ' || i.sales_order_line_id), 1, 7))
                           ::bit(28)::integer AS draw
            ) AS h
            CROSS JOIN LATERAL (
                SELECT o.placed_at + (5 + h.draw %% 16) * interval '1 day'
                       + h.draw / 100 %% 900 * interval '1 minute' AS moment
            ) AS e
            WHERE i.business_id = %(business_id)s AND i.fulfilled_qty > 0
              AND o.state IN ('fulfilled', 'completed')
              AND o.placed_at < %(as_of)s::timestamptz - interval '5 days'
        ) AS l
        WHERE (l.draw / 29 %% 6 = 0 AND l.is_written) OR l.place = 1
    ) AS z
) AS r
CROSS JOIN (
    SELECT x.user_account_id
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active' AND x.account_kind <> 'customer'
    ORDER BY x.username
    LIMIT 1
) AS u;
