SELECT tenant_mgmt.set_tenant(%(business_id)s);
SET LOCAL enable_nestloop = off;

-- An account holds what the pay runs took for it. Claims of a health care account may run ahead of
-- them; what a savings account has left goes on to the next year, what another has left is lost
-- once claims are no longer taken. Accounts of before the first pay run stayed with the former
-- system.
INSERT INTO payroll.spending_account
    (business_id, spending_account_id, employee_id, benefit_plan_id, account_kind, plan_year,
     annual_election_amount, employee_contributed_amount, employer_contributed_amount,
     paid_out_amount, carryover_amount, grace_until, runout_until, hdhp_confirmed, status)
SELECT a.business_id, md5('account ' || a.benefit_enrollment_id)::uuid, a.employee_id,
       a.benefit_plan_id, a.plan_kind, a.year, a.elected, a.taken, a.added, a.paid,
       CASE a.plan_kind WHEN 'hsa'
            THEN coalesce(sum(a.taken + a.added - a.paid) OVER (
                     PARTITION BY a.employee_id, a.plan_kind ORDER BY a.year
                     ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) ELSE 0 END,
       CASE WHEN a.plan_kind <> 'hsa' AND NOT a.is_gone THEN make_date(a.year + 1, 3, 15) END,
       CASE WHEN a.plan_kind <> 'hsa' THEN a.closes_on END, a.plan_kind = 'hsa',
       CASE WHEN a.plan_kind = 'hsa'
            THEN CASE WHEN a.year < extract(year FROM %(as_of)s::date) OR a.is_gone
                      THEN 'closed' ELSE 'open' END
            WHEN %(as_of)s::date < coalesce(a.effective_until, a.closes_on) THEN 'open'
            WHEN %(as_of)s::date <= a.closes_on THEN 'runout'
            WHEN a.paid < CASE a.plan_kind WHEN 'health_fsa' THEN a.elected ELSE a.taken END
            THEN 'forfeited' ELSE 'closed' END
FROM (
    SELECT e.business_id, e.benefit_enrollment_id, e.employee_id, e.benefit_plan_id,
           e.plan_kind, e.effective_until, y.year, d.elected, t.taken, t.added,
           coalesce(e.end_reason = 'Employment ended', false) AS is_gone,
           CASE e.end_reason WHEN 'Employment ended' THEN e.effective_until + 90
                             ELSE make_date(y.year + 1, 3, 31) END AS closes_on,
           round(CASE WHEN e.plan_kind = 'health_fsa'
                      THEN d.elected
                           * CASE WHEN y.year < extract(year FROM %(as_of)s::date)
                                  THEN least(1, 0.55 + n.place * 0.006)
                                  ELSE (%(as_of)s::date - y.starts_on) / 366.0
                                       * (0.4 + n.place * 0.006) END
                      ELSE (t.taken + t.added) * CASE e.plan_kind WHEN 'hsa' THEN n.place * 0.006
                                                 ELSE least(1, 0.8 + n.place * 0.004) END END, 2)
               AS paid
    FROM payroll.benefit_enrollment AS e
    CROSS JOIN LATERAL (
        SELECT extract(year FROM e.effective_from)::integer AS year,
               least(e.effective_from, %(as_of)s::date) AS starts_on
    ) AS y
    JOIN (
        SELECT x.benefit_enrollment_id, x.employee_deduction_id,
               coalesce(x.goal_amount, x.amount * 26) AS elected
        FROM payroll.employee_deduction AS x
        WHERE x.business_id = %(business_id)s AND x.benefit_enrollment_id IS NOT NULL
    ) AS d ON d.benefit_enrollment_id = e.benefit_enrollment_id
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(x.employee_amount), 0) AS taken,
               coalesce(sum(x.employer_amount), 0) AS added
        FROM payroll.paycheck_deduction AS x
        JOIN payroll.paycheck AS p
            ON p.business_id = x.business_id AND p.paycheck_id = x.paycheck_id
           AND payroll.paycheck_counts(p.status)
        WHERE x.business_id = e.business_id AND x.employee_deduction_id = d.employee_deduction_id
    ) AS t
    CROSS JOIN LATERAL (
        SELECT abs(hashtextextended('account ' || e.benefit_enrollment_id, 0) %% 100)::integer
            AS place
    ) AS n
    WHERE e.business_id = %(business_id)s AND e.status IN ('active', 'ended')
      AND e.plan_kind IN ('hsa', 'health_fsa', 'dependent_fsa')
      AND coalesce(e.effective_until > (SELECT min(r.check_date) FROM payroll.pay_run AS r
                                        WHERE r.business_id = e.business_id), true)
) AS a
ORDER BY a.year, a.benefit_enrollment_id;

-- Everybody on the first of each month, changes in its middle. One file in twelve has a member whom
-- the carrier cannot find; one of changes in forty does not arrive.
INSERT INTO payroll.carrier_feed
    (business_id, carrier_feed_id, benefit_carrier_id, sent_at, feed_kind, member_count,
     added_count, changed_count, terminated_count, rejected_count, acknowledgement, errors,
     file_sha256, period_end)
SELECT f.business_id, f.carrier_feed_id, f.benefit_carrier_id, f.sent_at, f.kind, m.members,
       f.added, f.changed, f.ended, r.rejected,
       CASE WHEN f.sent_at > %(as_of)s::timestamptz - interval '40 hours' THEN 'pending'
            WHEN r.rejected > 0 THEN 'partial'
            WHEN f.kind = 'changes' AND f.odd %% 40 = 7 THEN 'rejected' ELSE 'accepted' END,
       CASE WHEN r.rejected > 0
            THEN jsonb_build_array(jsonb_build_object(
                     'member', f.member, 'code', (ARRAY['SSN', 'DOB', 'ADDR'])[1 + f.odd %% 3],
                     'message', (ARRAY['Number unknown', 'Birth date differs', 'No such street']
                                )[1 + f.odd %% 3])) ELSE '[]' END,
       sha256(convert_to('feed ' || f.carrier_feed_id, 'UTF8')), f.period_end
FROM (
    SELECT c.business_id, md5(concat_ws(' ', 'feed', d.day, c.benefit_carrier_id))::uuid
               AS carrier_feed_id,
           c.benefit_carrier_id, d.sent_at, d.kind, d.day - 1 AS period_end, w.*,
           abs(hashtextextended(concat_ws(' ', 'feed', d.day, c.benefit_carrier_id), 0)
               %% 1000)::integer AS odd
    FROM payroll.benefit_carrier AS c
    CROSS JOIN LATERAL (
        SELECT x.day, x.kind, x.since,
               x.day::timestamp AT TIME ZONE 'UTC' + interval '8 hours 30 minutes' AS sent_at
        FROM generate_series(0, 12) AS n (back)
        CROSS JOIN LATERAL (
            SELECT (date_trunc('month', %(as_of)s::date) - make_interval(months => n.back))::date
                AS first
        ) AS s
        CROSS JOIN LATERAL (VALUES
            (s.first, 'full', (s.first - interval '1 month')::date + 14),
            (s.first + 14, 'changes', s.first)) AS x (day, kind, since)
    ) AS d
    CROSS JOIN LATERAL (
        SELECT count(DISTINCT e.employee_id) FILTER (WHERE t.span @> d.day) AS members,
               min(m.employee_number) FILTER (WHERE t.span @> d.day) AS member,
               count(*) FILTER (WHERE lower(t.span) > d.since AND lower(t.span) <= d.day
                                  AND g.former IS NULL) AS added,
               count(*) FILTER (WHERE lower(t.span) > d.since AND lower(t.span) <= d.day
                                  AND g.former IS NOT NULL) AS changed,
               count(*) FILTER (WHERE upper(t.span) > d.since AND upper(t.span) <= d.day
                                  AND e.end_reason = 'Employment ended') AS ended
        FROM payroll.benefit_plan AS p
        JOIN payroll.benefit_enrollment AS e
            ON e.business_id = p.business_id AND e.benefit_plan_id = p.benefit_plan_id
           AND e.status IN ('active', 'ended') AND e.election <> 'waived'
        JOIN payroll.employee AS m
            ON m.business_id = e.business_id AND m.employee_id = e.employee_id
        CROSS JOIN LATERAL (
            SELECT daterange(e.effective_from, e.effective_until) AS span
        ) AS t
        LEFT JOIN LATERAL (
            SELECT x.benefit_enrollment_id AS former
            FROM payroll.benefit_enrollment AS x
            WHERE x.business_id = e.business_id AND x.employee_id = e.employee_id
              AND x.plan_kind = e.plan_kind AND x.effective_until = e.effective_from
              AND x.status = 'ended' AND x.election <> 'waived'
            LIMIT 1
        ) AS g ON true
        WHERE p.business_id = c.business_id AND p.benefit_carrier_id = c.benefit_carrier_id
    ) AS w
    WHERE c.business_id = %(business_id)s AND c.status = 'active'
      AND d.sent_at <= %(as_of)s::timestamptz
) AS f
CROSS JOIN LATERAL (
    SELECT CASE f.kind WHEN 'full' THEN f.members ELSE f.added + f.changed + f.ended END AS members
) AS m
CROSS JOIN LATERAL (
    SELECT CASE WHEN f.odd %% 12 = 5 AND m.members > 0 AND f.member IS NOT NULL
                     AND f.sent_at <= %(as_of)s::timestamptz - interval '40 hours'
                THEN 1 ELSE 0 END AS rejected
) AS r
ORDER BY f.sent_at, f.carrier_feed_id;

-- The months of last year, furnished by the end of January, and of this one so far, person by
-- person.
SET LOCAL enable_nestloop = on;
SELECT count(payroll.build_aca_months(e.employer_entity_id, y.year, y.months))
FROM payroll.employer_entity AS e
CROSS JOIN LATERAL (VALUES
    (extract(year FROM %(as_of)s::date)::integer - 1, 12),
    (extract(year FROM %(as_of)s::date)::integer,
     extract(month FROM %(as_of)s::date)::integer - 1)) AS y (year, months)
WHERE e.business_id = %(business_id)s AND y.months > 0;

UPDATE payroll.aca_employee_month AS m
SET aca_employee_month_id = md5(concat_ws(' ', 'month', m.tax_year, m.month_no,
                                          m.employee_id))::uuid,
    is_locked = f.is_furnished,
    furnished_on = CASE WHEN f.is_furnished THEN make_date(m.tax_year + 1, 1, 29) END
FROM payroll.employer_entity AS e
CROSS JOIN generate_series(extract(year FROM %(as_of)s::date)::integer - 1,
                           extract(year FROM %(as_of)s::date)::integer) AS y (year)
CROSS JOIN LATERAL (
    SELECT make_date(y.year + 1, 1, 29) < %(as_of)s::date AS is_furnished
) AS f
WHERE m.business_id = %(business_id)s AND e.business_id = m.business_id
  AND e.employer_entity_id = m.employer_entity_id AND y.year = m.tax_year;

-- Who leaves, is divorced or grows up may continue: told within weeks, one in eight does.
INSERT INTO payroll.cobra_case
    (business_id, cobra_case_id, employee_id, dependent_id, benefit_enrollment_id,
     employment_spell_id, event_kind, event_on, notice_sent_on, elected_on, coverage_months,
     premium_amount, paid_through_on, status, end_reason)
SELECT c.business_id,
       md5(concat_ws(' ', 'continue', c.event_kind, c.dependent_id, c.benefit_enrollment_id))::uuid,
       c.employee_id, c.dependent_id, c.benefit_enrollment_id, c.employment_spell_id,
       c.event_kind, c.event_on, CASE WHEN s.status <> 'pending_notice' THEN c.told_on END,
       CASE s.status WHEN 'elected' THEN c.told_on + 12 + c.place %% 35 END,
       CASE c.event_kind WHEN 'termination' THEN 18 ELSE 36 END, c.premium,
       CASE s.status WHEN 'elected'
            THEN (date_trunc('month', %(as_of)s::date) + interval '1 month')::date - 1 END,
       s.status, CASE s.status WHEN 'lapsed' THEN 'Not elected within 60 days' END
FROM (
    SELECT x.*, x.event_on + 5 + n.place %% 25 AS told_on, n.place
    FROM (
        SELECT e.business_id, e.employee_id, NULL::uuid AS dependent_id,
               e.benefit_enrollment_id, s.employment_spell_id, 'termination' AS event_kind,
               coalesce(s.last_day_worked, s.terminated_on) AS event_on,
               payroll.cobra_premium(e.benefit_enrollment_id, 2) AS premium
        FROM payroll.benefit_enrollment AS e
        JOIN payroll.employment_spell AS s
            ON s.business_id = e.business_id AND s.employee_id = e.employee_id
           AND daterange(s.hired_on, s.terminated_on, '[]') @> e.effective_from
        WHERE e.business_id = %(business_id)s AND e.end_reason = 'Employment ended'
          AND e.status = 'ended' AND e.election <> 'waived'
          AND e.plan_kind IN ('medical', 'dental', 'vision')
        UNION ALL
        SELECT e.business_id, e.employee_id, d.dependent_id, e.benefit_enrollment_id, NULL,
               x.end_reason,
               CASE x.end_reason WHEN 'divorce' THEN d.ended_on ELSE d.aged_out_on END,
               payroll.cobra_premium(e.benefit_enrollment_id, 2, true)
        FROM payroll.enrollment_dependent AS x
        JOIN payroll.benefit_enrollment AS e
            ON e.business_id = x.business_id
           AND e.benefit_enrollment_id = x.benefit_enrollment_id
           AND e.plan_kind IN ('medical', 'dental', 'vision')
        JOIN payroll.dependent AS d
            ON d.business_id = x.business_id AND d.dependent_id = x.dependent_id
        WHERE x.business_id = %(business_id)s AND x.end_reason IN ('divorce', 'aged_out')
          AND d.relationship <> 'domestic_partner'
          AND x.covered_until <= %(as_of)s::date + 31
    ) AS x
    CROSS JOIN LATERAL (
        SELECT abs(hashtextextended(concat_ws(' ', 'continues', x.employee_id, x.dependent_id), 0)
                   %% 1000)::integer AS place
    ) AS n
    WHERE x.event_on <= %(as_of)s::date
) AS c
CROSS JOIN LATERAL (
    SELECT CASE WHEN c.told_on > %(as_of)s::date THEN 'pending_notice'
                WHEN c.place %% 100 < 12 AND c.told_on + 12 + c.place %% 35 <= %(as_of)s::date
                THEN 'elected'
                WHEN c.place %% 100 BETWEEN 12 AND 40
                     AND c.told_on + 12 + c.place %% 35 <= %(as_of)s::date THEN 'declined'
                WHEN c.told_on + 60 < %(as_of)s::date THEN 'lapsed' ELSE 'offered' END AS status
) AS s;
