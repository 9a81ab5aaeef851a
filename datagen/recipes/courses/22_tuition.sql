SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Who came in by a scholarship has one; some were offered and not taken up, one in eleven revoked.
INSERT INTO courses.scholarship_award
    (business_id, scholarship_award_id, learner_id, course_section_id, awarded_by, fund_name,
     award_kind, amount, percent, conditions, minimum_gpa, awarded_on, valid_until, status,
     revoked_reason, used_amount)
SELECT n.business_id, md5('award ' || n.enrollment_id)::uuid, n.learner_id, n.course_section_id,
       a.user_account_id, f.fund_name, f.kind,
       CASE f.kind WHEN 'grant' THEN 400 END,
       CASE f.kind WHEN 'full' THEN 100 WHEN 'grant' THEN NULL WHEN 'fee_waiver' THEN 100
                   ELSE 50 END,
       'Attend four classes of five and complete the course', CASE f.kind WHEN 'full' THEN 2.5 END,
       n.enrolled_at::date - 20, n.enrolled_at::date + 400,
       CASE WHEN n.status IN ('completed', 'expired') THEN 'completed'
            WHEN n.status IN ('withdrawn', 'failed') THEN 'revoked' ELSE 'active' END,
       CASE WHEN n.status IN ('withdrawn', 'failed') THEN 'Left the course' END,
       CASE WHEN f.kind = 'grant' AND n.status <> 'withdrawn' THEN 300 ELSE 0 END
FROM (
    SELECT e.*, row_number() OVER (ORDER BY e.enrollment_number) AS place
    FROM courses.enrollment AS e
    WHERE e.business_id = %(business_id)s AND e.source = 'scholarship'
      AND e.enrolled_at IS NOT NULL AND e.course_section_id IS NOT NULL
) AS n
CROSS JOIN LATERAL (
    SELECT split_part('full,partial,grant,fee_waiver,employer_sponsored', ',',
                      (1 + n.place %% 5)::integer) AS kind,
           split_part('Women in Technology Fund,Second Chance Fund,Alumni Fund,City Grant,'
                      'Employer Program', ',', (1 + n.place %% 5)::integer) AS fund_name
) AS f
CROSS JOIN (
    SELECT x.user_account_id
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s AND x.account_kind = 'staff' AND x.status = 'active'
    ORDER BY x.username
    LIMIT 1
) AS a;

INSERT INTO courses.scholarship_award
    (business_id, scholarship_award_id, learner_id, program_id, awarded_by, fund_name, award_kind,
     percent, conditions, awarded_on, valid_until, status)
SELECT l.business_id, md5('offers ' || l.learner_id)::uuid, l.learner_id, p.program_id,
       a.user_account_id, 'Second Chance Fund', 'partial', 40, 'Begin within six months',
       %(as_of)s::date - 30 - l.place::integer * 5, %(as_of)s::date + 150,
       CASE WHEN l.place %% 2 = 0 THEN 'accepted' ELSE 'offered' END
FROM (
    SELECT x.*, row_number() OVER (ORDER BY md5('s' || x.learner_id::text)) AS place
    FROM courses.learner AS x
    WHERE x.business_id = %(business_id)s
) AS l
CROSS JOIN (
    SELECT x.program_id
    FROM courses.program AS x
    WHERE x.business_id = %(business_id)s AND x.program_code = 'MGMT-DIP'
) AS p
CROSS JOIN (
    SELECT x.user_account_id
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s AND x.account_kind = 'staff' AND x.status = 'active'
    ORDER BY x.username
    LIMIT 1
) AS a
WHERE l.place <= 4;

-- A year of pay: what is two months old is paid, last month's approved, this month's adding up.
INSERT INTO courses.instructor_payout
    (business_id, instructor_payout_id, instructor_id, course_section_id, period_month, basis,
     gross_revenue_amount, refund_adjustment_amount, share_pct, hours, payout_amount, status,
     paid_on, statement_reference, hold_reason)
SELECT %(business_id)s,
       md5('pay ' || m.month || e.basis || e.instructor_id || e.course_section_id)::uuid,
       e.instructor_id, e.course_section_id, m.month, e.basis, e.gross, e.refunded, e.share_pct,
       e.hours, e.payout, k.status,
       CASE k.status WHEN 'paid' THEN (m.month + interval '1 month 14 days')::date END,
       CASE k.status WHEN 'paid' THEN 'ST-' || to_char(m.month, 'YYYYMM') || '-'
                                      || upper(substr(md5(e.instructor_id::text), 1, 4)) END,
       CASE k.status WHEN 'on_hold' THEN 'Hours are being checked' END
FROM (
    SELECT (date_trunc('month', %(as_of)s::timestamp) - make_interval(months => g))::date AS month,
           g AS ago
    FROM generate_series(0, 12) AS g
) AS m
CROSS JOIN LATERAL (
    SELECT x.instructor_id, x.course_section_id, x.basis, sum(x.gross) AS gross,
           sum(x.refunded) AS refunded, max(x.share_pct) AS share_pct, sum(x.hours) AS hours,
           sum(x.payout) AS payout
    FROM courses.earned_pay(m.month) AS x
    GROUP BY x.instructor_id, x.course_section_id, x.basis
) AS e
CROSS JOIN LATERAL (
    SELECT CASE WHEN m.ago >= 2 THEN 'paid'
                WHEN m.ago = 1 AND substr(md5(e.course_section_id::text), 1, 1) = '0'
                THEN 'on_hold'
                WHEN m.ago = 1 THEN 'approved' ELSE 'accrued' END AS status
) AS k;

-- Before one enrolls one looks; twice as many look and do not.
INSERT INTO user_analytics.behavior_event
    (business_id, behavior_event_id, user_account_id, signal, resource, duration_ms, context,
     occurred_at)
SELECT e.business_id, md5('looked ' || v.number || e.enrollment_id)::uuid,
       CASE v.number WHEN 1 THEN l.user_account_id ELSE o.user_account_id END, 'page_view',
       'courses/' || c.slug, 20000 + v.number * 7000, '{"channel": "web"}',
       e.enrolled_at - v.number * interval '20 hours'
FROM courses.enrollment AS e
JOIN courses.learner AS l
    ON l.business_id = e.business_id AND l.learner_id = e.learner_id
   AND l.user_account_id IS NOT NULL
JOIN courses.course_section AS s
    ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
JOIN courses.course AS c ON c.business_id = s.business_id AND c.course_id = s.course_id
CROSS JOIN generate_series(1, 3) AS v (number)
JOIN (
    SELECT x.user_account_id, row_number() OVER (ORDER BY x.learner_number) - 1 AS place,
           count(*) OVER () AS people
    FROM courses.learner AS x
    WHERE x.business_id = %(business_id)s AND x.user_account_id IS NOT NULL
) AS o
    ON o.place = (('x' || substr(md5(v.number || e.enrollment_id::text), 1, 7))::bit(28)::integer)
                 %% o.people
WHERE e.business_id = %(business_id)s
  AND e.enrolled_at > %(as_of)s::timestamptz - interval '360 days';
