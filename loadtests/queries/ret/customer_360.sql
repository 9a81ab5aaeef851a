-- The service desk opens a customer: points, orders, returns, credits, cards and consents.
-- budget: p95 150ms
-- weight: 6
-- mode: read
-- rows: >=1
-- params: customer_id from ret.customer where status = 'active' and not is_guest
SELECT c.business_id, c.customer_number, c.display_name, c.email, c.phone, c.status, c.order_count,
       c.lifetime_value, c.return_rate_pct, m.card_number, m.state AS account_state, m.tier_name,
       m.point_balance, m.pending_points, m.points_expiring, m.next_expiry_on, m.points,
       o.orders, r.returns, k.credit_left, k.credits, g.card_left, g.cards, n.consents,
       s.rfm_segment, s.churn_probability
FROM ret.customer AS c
LEFT JOIN LATERAL (
    SELECT a.card_number, a.state, a.point_balance, a.pending_points, a.points_expiring,
           a.next_expiry_on, t.display_name AS tier_name, (
               SELECT jsonb_agg(jsonb_build_object(
                          'kind', e.entry_kind, 'points', e.points, 'left', e.balance_after,
                          'at', e.occurred_at, 'note', e.note) ORDER BY e.entry_no DESC)
               FROM (
                   SELECT x.*
                   FROM ret.loyalty_entry AS x
                   WHERE x.business_id = %(business_id)s
                     AND x.loyalty_account_id = a.loyalty_account_id
                   ORDER BY x.entry_no DESC
                   LIMIT 10
               ) AS e) AS points
    FROM ret.loyalty_account AS a
    LEFT JOIN ret.loyalty_tier AS t
        ON t.business_id = %(business_id)s AND t.loyalty_tier_id = a.loyalty_tier_id
    WHERE a.business_id = %(business_id)s AND a.customer_id = c.customer_id
    ORDER BY a.state = 'closed', a.enrolled_at DESC
    LIMIT 1
) AS m ON true
LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object(
               'number', x.order_number, 'at', x.placed_at, 'state', x.state,
               'payment', x.payment_state, 'total', x.grand_total) ORDER BY x.placed_at DESC)
               AS orders
    FROM (
        SELECT y.*
        FROM ret.sales_order AS y
        WHERE y.business_id = %(business_id)s AND y.customer_id = c.customer_id
        ORDER BY y.placed_at DESC
        LIMIT 10
    ) AS x
) AS o ON true
LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object(
               'number', x.rma_number, 'at', x.requested_at, 'state', x.state,
               'refund', x.refund_total) ORDER BY x.requested_at DESC) AS returns
    FROM (
        SELECT y.*
        FROM ret.return_authorisation AS y
        WHERE y.business_id = %(business_id)s AND y.customer_id = c.customer_id
        ORDER BY y.requested_at DESC
        LIMIT 10
    ) AS x
) AS r ON true
LEFT JOIN LATERAL (
    SELECT sum(x.balance_amount) AS credit_left,
           jsonb_agg(jsonb_build_object(
               'number', x.credit_number, 'left', x.balance_amount, 'held', x.held_amount,
               'until', x.expires_on, 'why', x.reason_text) ORDER BY x.issued_at DESC) AS credits
    FROM ret.store_credit AS x
    WHERE x.business_id = %(business_id)s AND x.customer_id = c.customer_id
      AND x.state = 'active'
) AS k ON true
LEFT JOIN LATERAL (
    SELECT sum(x.balance_amount) AS card_left,
           jsonb_agg(jsonb_build_object('last4', x.card_last4, 'state', x.state,
                                        'left', x.balance_amount) ORDER BY x.activated_at DESC)
               AS cards
    FROM ret.gift_card AS x
    WHERE x.business_id = %(business_id)s AND x.holder_customer_id = c.customer_id
      AND x.state IN ('active', 'blocked')
) AS g ON true
LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('purpose', x.purpose, 'channel', x.contact_channel,
                                        'decision', x.decision, 'at', x.decided_at)
                     ORDER BY x.purpose, x.contact_channel) AS consents
    FROM (
        SELECT DISTINCT ON (y.purpose, y.contact_channel) y.*
        FROM ret.customer_consent AS y
        WHERE y.business_id = %(business_id)s AND y.customer_id = c.customer_id
        ORDER BY y.purpose, y.contact_channel, y.decided_at DESC, y.customer_consent_id DESC
    ) AS x
) AS n ON true
LEFT JOIN LATERAL (
    SELECT x.rfm_segment, x.churn_probability
    FROM ret.rfm_snapshot AS x
    WHERE x.business_id = %(business_id)s AND x.customer_id = c.customer_id
    ORDER BY x.as_of_date DESC
    LIMIT 1
) AS s ON true
WHERE c.business_id = %(business_id)s AND c.customer_id = %(customer_id)s
