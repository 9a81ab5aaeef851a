-- A server opens a check: seats, lines with what was chosen, adjustments, taxes, payments.
-- budget: p95 50ms
-- weight: 12
-- mode: read
-- rows: >=1
-- params: guest_check_id from rest.guest_check where state <> 'voided'
SELECT c.business_id, c.check_number, c.state, c.subtotal, c.discount_total, c.tax_total,
       c.grand_total, c.balance_due, o.order_number, o.service_mode,
       (SELECT jsonb_agg(jsonb_build_object(
                   'line', i.line_number, 'seat', s.seat_number, 'course', u.course_kind,
                   'item', i.display_name, 'quantity', i.quantity, 'amount', i.net_amount,
                   'state', i.state, 'parent', i.parent_item_id,
                   'choices', (SELECT jsonb_agg(jsonb_build_object(
                                          'name', m.display_name, 'depth', m.depth,
                                          'how', m.pre_modifier, 'amount', m.amount)
                                      ORDER BY m.sequence_no, m.depth)
                               FROM rest.check_item_modifier AS m
                               WHERE m.business_id = %(business_id)s
                                 AND m.check_item_id = i.check_item_id))
               ORDER BY i.line_number)
        FROM rest.check_item AS i
        LEFT JOIN rest.check_seat AS s
            ON s.business_id = %(business_id)s AND s.check_seat_id = i.check_seat_id
        LEFT JOIN rest.order_course AS u
            ON u.business_id = %(business_id)s AND u.order_course_id = i.order_course_id
        WHERE i.business_id = %(business_id)s AND i.guest_check_id = c.guest_check_id) AS lines,
       (SELECT jsonb_agg(jsonb_build_object('kind', a.adjustment_kind, 'label', a.label,
                                            'amount', a.amount) ORDER BY a.sequence_no)
        FROM rest.check_adjustment AS a
        WHERE a.business_id = %(business_id)s AND a.guest_check_id = c.guest_check_id
          AND a.state = 'applied') AS adjustments,
       (SELECT jsonb_agg(jsonb_build_object('rate', t.rate_pct, 'amount', t.tax_amount))
        FROM rest.check_tax AS t
        WHERE t.business_id = %(business_id)s AND t.guest_check_id = c.guest_check_id) AS taxes,
       (SELECT jsonb_agg(jsonb_build_object('tender', p.tender, 'amount', p.amount,
                                            'tip', p.tip_amount) ORDER BY p.captured_at)
        FROM rest.check_payment AS p
        WHERE p.business_id = %(business_id)s AND p.guest_check_id = c.guest_check_id
          AND p.state = 'captured') AS payments
FROM rest.guest_check AS c
JOIN rest.guest_order AS o
    ON o.business_id = %(business_id)s AND o.guest_order_id = c.guest_order_id
WHERE c.business_id = %(business_id)s AND c.guest_check_id = %(guest_check_id)s
