SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- All of a class that was called off; of those who withdrew one in three, less when it is late.
INSERT INTO courses.course_refund
    (business_id, course_refund_id, course_payment_id, enrollment_id, approved_by, requested_at,
     reason, policy_window_days, progress_pct_at_request, amount, status, decided_at, processed_at,
     revokes_access, denial_reason)
SELECT n.business_id, md5('refund ' || n.enrollment_id)::uuid, n.course_payment_id,
       n.enrollment_id,
       CASE WHEN k.status IN ('approved', 'denied') OR (k.status = 'processed' AND NOT n.in_time)
            THEN a.user_account_id END,
       n.withdrawn_at, n.reason, 14, n.progress_pct,
       CASE WHEN n.in_time OR n.reason = 'class_cancelled' THEN n.amount
            ELSE greatest(0.01, round(n.amount / 2, 2)) END,
       k.status, CASE WHEN k.status <> 'requested' THEN n.withdrawn_at + interval '30 hours' END,
       CASE WHEN k.status = 'processed' THEN n.withdrawn_at + interval '4 days' END, true,
       CASE WHEN k.status = 'denied' THEN 'Asked for after the window, with most lessons opened' END
FROM (
    SELECT e.business_id, e.enrollment_id, e.withdrawn_at, e.progress_pct, p.course_payment_id,
           p.amount, e.withdrawn_at < e.enrolled_at + interval '14 days' AS in_time,
           CASE WHEN s.status = 'cancelled' THEN 'class_cancelled'
                ELSE split_part('dissatisfied,dissatisfied,technical,medical,duplicate', ',',
                                1 + h.odd %% 5) END AS reason, h.odd
    FROM courses.enrollment AS e
    JOIN courses.course_section AS s
        ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
    JOIN courses.course_order_line AS l
        ON l.business_id = e.business_id AND l.course_order_line_id = e.course_order_line_id
    JOIN courses.course_order AS o
        ON o.business_id = l.business_id AND o.course_order_id = l.course_order_id
       AND o.channel <> 'invoice'
    JOIN courses.course_payment AS p
        ON p.business_id = o.business_id AND p.course_order_id = o.course_order_id
       AND p.status = 'succeeded' AND coalesce(p.installment_no, 1) = 1
    CROSS JOIN LATERAL (
        SELECT ('x' || substr(md5('b' || e.enrollment_id::text), 1, 7))::bit(28)::integer AS odd
    ) AS h
    WHERE e.business_id = %(business_id)s AND e.status = 'withdrawn'
      AND (s.status = 'cancelled' OR h.odd %% 5 < 2)
) AS n
CROSS JOIN LATERAL (
    SELECT CASE WHEN n.withdrawn_at > %(as_of)s::timestamptz - interval '2 days' THEN 'requested'
                WHEN n.withdrawn_at > %(as_of)s::timestamptz - interval '5 days' THEN 'approved'
                WHEN NOT n.in_time AND n.reason <> 'class_cancelled' AND n.odd %% 4 = 0
                THEN 'denied'
                WHEN n.odd %% 50 = 7 THEN 'failed' ELSE 'processed' END AS status
) AS k
CROSS JOIN (
    SELECT x.user_account_id
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s AND x.account_kind = 'staff' AND x.status = 'active'
    ORDER BY x.username
    LIMIT 1
) AS a;

-- Charged twice, or the stream broke off: part of the money comes back, the learner stays.
INSERT INTO courses.course_refund
    (business_id, course_refund_id, course_payment_id, enrollment_id, approved_by, requested_at,
     reason, policy_window_days, progress_pct_at_request, amount, status, decided_at, processed_at,
     revokes_access)
SELECT n.business_id, md5('part ' || n.enrollment_id)::uuid, n.course_payment_id,
       n.enrollment_id, a.user_account_id, n.paid_at + interval '5 days',
       CASE WHEN n.place %% 2 = 0 THEN 'duplicate' ELSE 'technical' END, 14, 0,
       round(n.amount / 4, 2), 'processed', n.paid_at + interval '6 days',
       n.paid_at + interval '8 days', false
FROM (
    SELECT e.business_id, e.enrollment_id, p.course_payment_id, p.amount, p.paid_at,
           row_number() OVER (ORDER BY md5('d' || e.enrollment_id::text)) AS place,
           count(*) OVER () AS orders
    FROM courses.enrollment AS e
    JOIN courses.course_order_line AS l
        ON l.business_id = e.business_id AND l.course_order_line_id = e.course_order_line_id
    JOIN courses.course_payment AS p
        ON p.business_id = l.business_id AND p.course_order_id = l.course_order_id
       AND p.status = 'succeeded' AND p.method <> 'invoice'
       AND coalesce(p.installment_no, 1) = 1
    WHERE e.business_id = %(business_id)s AND e.status IN ('active', 'completed')
      AND e.course_section_id IS NOT NULL
      AND p.paid_at < %(as_of)s::timestamptz - interval '10 days'
) AS n
CROSS JOIN (
    SELECT x.user_account_id
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s AND x.account_kind = 'staff' AND x.status = 'active'
    ORDER BY x.username
    LIMIT 1
) AS a
WHERE n.place <= greatest(2, n.orders / 70);
