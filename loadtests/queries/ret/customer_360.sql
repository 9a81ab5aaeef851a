-- The service desk opens a customer: who he is, what he bought, brought back, holds and agreed to.
-- budget: p95 150ms
-- weight: 6
-- mode: read
-- rows: >=1
-- params: customer_id from ret.rfm_snapshot
SELECT c.business_id, c.customer_id, c.customer_number, c.display_name, c.email, c.phone,
       c.status, c.order_count, c.lifetime_value, c.return_rate_pct, l.point_balance,
       l.pending_points, t.display_name AS tier, r.rfm_segment, r.churn_probability,
       r.predicted_ltv, r.next_purchase_on, r.preferred_category_code,
       (SELECT jsonb_agg(to_jsonb(x) ORDER BY x.placed_at DESC)
        FROM (SELECT o.order_number, o.placed_at, o.state, o.payment_state, o.grand_total
              FROM ret.sales_order AS o
              WHERE o.business_id = %(business_id)s AND o.customer_id = c.customer_id
              ORDER BY o.placed_at DESC
              LIMIT 10) AS x) AS orders,
       (SELECT jsonb_agg(to_jsonb(x) ORDER BY x.requested_at DESC)
        FROM (SELECT a.rma_number, a.return_kind, a.state, a.requested_at, a.refund_total
              FROM ret.return_authorisation AS a
              WHERE a.business_id = %(business_id)s AND a.customer_id = c.customer_id
              ORDER BY a.requested_at DESC
              LIMIT 10) AS x) AS returns,
       (SELECT jsonb_agg(to_jsonb(x) ORDER BY x.occurred_at DESC)
        FROM (SELECT e.entry_kind, e.points, e.occurred_at, e.expires_on
              FROM ret.loyalty_entry AS e
              WHERE e.business_id = %(business_id)s
                AND e.loyalty_account_id = l.loyalty_account_id
              ORDER BY e.occurred_at DESC
              LIMIT 10) AS x) AS points,
       (SELECT sum(s.balance_amount)
        FROM ret.store_credit AS s
        WHERE s.business_id = %(business_id)s AND s.customer_id = c.customer_id) AS store_credit,
       (SELECT sum(g.balance_amount)
        FROM ret.gift_card AS g
        WHERE g.business_id = %(business_id)s AND g.holder_customer_id = c.customer_id)
           AS gift_cards,
       (SELECT jsonb_agg(jsonb_build_object('purpose', k.purpose, 'channel', k.contact_channel,
                                            'decision', k.decision, 'since', k.decided_at)
                         ORDER BY k.purpose, k.contact_channel)
        FROM ret.v_consent_now AS k
        WHERE k.business_id = %(business_id)s AND k.customer_id = c.customer_id) AS consents
FROM ret.customer AS c
LEFT JOIN LATERAL (
    SELECT x.loyalty_account_id, x.loyalty_tier_id, x.point_balance, x.pending_points
    FROM ret.loyalty_account AS x
    WHERE x.business_id = %(business_id)s AND x.customer_id = c.customer_id
    ORDER BY x.enrolled_at DESC
    LIMIT 1
) AS l ON true
LEFT JOIN ret.loyalty_tier AS t
    ON t.business_id = %(business_id)s AND t.loyalty_tier_id = l.loyalty_tier_id
LEFT JOIN LATERAL (
    SELECT x.*
    FROM ret.rfm_snapshot AS x
    WHERE x.business_id = %(business_id)s AND x.customer_id = c.customer_id
    ORDER BY x.as_of_date DESC
    LIMIT 1
) AS r ON true
WHERE c.business_id = %(business_id)s AND c.customer_id = %(customer_id)s
