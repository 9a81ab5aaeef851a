SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

INSERT INTO payroll.benefit_carrier
    (business_id, benefit_carrier_id, name, carrier_kind, group_number, feed_format,
     feed_schedule, sender_id, receiver_id, contact_email, status)
SELECT b.business_id, md5('carrier ' || c.code || b.business_id)::uuid, c.name, c.kind,
       upper(substr(md5('group ' || c.code || b.business_id), 1, 8)), c.format,
       CASE c.format WHEN 'portal' THEN NULL ELSE '30 3 1,15 * *' END,
       CASE c.format WHEN 'edi_834' THEN upper(left(replace(b.slug, '-', ''), 15)) END,
       CASE c.format WHEN 'edi_834' THEN c.receiver END, c.email, c.status
FROM tenant_mgmt.business AS b
CROSS JOIN (VALUES
    ('HEALTH', 'Lakeshore Health Plan', 'medical', 'edi_834', 'LAKESHORE834',
     'eligibility@lakeshorehealth.example.com', 'active'),
    ('DENTAL', 'Bright Smile Dental', 'dental', 'edi_834', 'BRIGHTSMILE',
     'groups@brightsmile.example.com', 'active'),
    ('VISION', 'ClearSight Vision', 'vision', 'csv', NULL, 'files@clearsight.example.com',
     'active'),
    ('LIFE', 'Midland Mutual Life', 'life_disability', 'csv', NULL,
     'census@midlandmutual.example.com', 'active'),
    ('SAVE', 'Harbor Retirement Services', 'retirement', 'api', NULL,
     'payroll@harborretirement.example.com', 'active'),
    ('FLEX', 'FlexPoint Accounts', 'spending_account', 'api', NULL,
     'employers@flexpoint.example.com', 'active'),
    ('ACC', 'Prairie Accident', 'voluntary', 'portal', NULL, 'desk@prairieaccident.example.com',
     'terminated')
) AS c (code, name, kind, format, receiver, email, status)
WHERE b.business_id = %(business_id)s;

-- Ten plans an employer and year; those of next year are there before it is elected in November.
-- Limits are the law's: 26 USC 223(b), 125(i), 129(a), 402(g).
INSERT INTO payroll.benefit_plan
    (business_id, benefit_plan_id, benefit_carrier_id, employer_entity_id, plan_code, name,
     plan_kind, plan_year_start, plan_year_end, minimum_value, is_self_funded, section_125,
     waiting_period_days, employer_contribution_method, match_formula, annual_limit_amount,
     is_offered)
SELECT e.business_id, md5(concat('plan ', p.code, y.year, e.employer_entity_id))::uuid,
       md5('carrier ' || p.carrier || e.business_id)::uuid, e.employer_entity_id,
       p.code || '-' || e.place, p.name, p.kind, make_date(y.year, 1, 1),
       make_date(y.year, 12, 31), p.kind = 'medical', false, p.before_tax,
       CASE p.kind WHEN 'retirement_401k' THEN 90 ELSE 30 END, p.method, p.match::jsonb,
       CASE p.kind WHEN 'hsa' THEN CASE y.year WHEN 2024 THEN 4150 WHEN 2025 THEN 4300
                                               ELSE 4400 END
                   WHEN 'health_fsa' THEN CASE y.year WHEN 2024 THEN 3200 WHEN 2025 THEN 3300
                                                      ELSE 3400 END
                   WHEN 'dependent_fsa' THEN CASE WHEN y.year < 2026 THEN 5000 ELSE 7500 END
                   WHEN 'retirement_401k' THEN CASE y.year WHEN 2024 THEN 23000
                                                           WHEN 2025 THEN 23500
                                                           ELSE 24500 END END,
       p.carrier <> 'ACC'
FROM (
    SELECT x.business_id, x.employer_entity_id, row_number() OVER (ORDER BY x.ein) AS place
    FROM payroll.employer_entity AS x
    WHERE x.business_id = %(business_id)s
) AS e
CROSS JOIN generate_series(extract(year FROM %(as_of)s::date)::integer - 2,
                           extract(year FROM %(as_of)s::date + 92)::integer) AS y (year)
JOIN (VALUES
    ('PPO', 'HEALTH', 'Preferred provider plan', 'medical', true, 'tiered', NULL),
    ('HDHP', 'HEALTH', 'High-deductible plan', 'medical', true, 'tiered', NULL),
    ('DEN', 'DENTAL', 'Dental', 'dental', true, 'tiered', NULL),
    ('VIS', 'VISION', 'Vision', 'vision', true, 'tiered', NULL),
    ('LIFE', 'LIFE', 'Basic life of 50,000', 'basic_life', false, 'flat', NULL),
    ('SLIFE', 'LIFE', 'Supplemental life', 'supplemental_life', false, 'tiered', NULL),
    ('HSA', 'FLEX', 'Health savings account', 'hsa', true, 'flat', NULL),
    ('FSA', 'FLEX', 'Health care account', 'health_fsa', true, 'flat', NULL),
    ('DCFSA', 'FLEX', 'Dependent care account', 'dependent_fsa', true, 'flat', NULL),
    ('SAVE', 'SAVE', '401(k) savings plan', 'retirement_401k', false, 'match',
     '[{"up_to_percent": 3, "match_percent": 100}, {"up_to_percent": 5, "match_percent": 50}]'),
    ('ACC', 'ACC', 'Accident insurance', 'accident', false, 'flat', NULL)
) AS p (code, carrier, name, kind, before_tax, method, match)
    -- The accident plan was given up with its carrier.
    ON p.code <> 'ACC' OR y.year < extract(year FROM %(as_of)s::date)::integer - 1;

-- Premiums rise by a twentieth a year.
INSERT INTO payroll.benefit_plan_rate
    (business_id, benefit_plan_rate_id, benefit_plan_id, coverage_tier, age_from, age_to,
     tobacco_user, premium_amount, employee_share_amount, employer_share_amount, rate_basis,
     effective_from, effective_until)
SELECT p.business_id,
       md5(concat_ws(' ', 'rate', r.tier, r.age_from, t.smokes, p.benefit_plan_id))::uuid,
       p.benefit_plan_id, r.tier, r.age_from, r.age_to, t.smokes, s.employee + s.employer,
       s.employee, s.employer, r.basis, p.plan_year_start, p.plan_year_end + 1
FROM payroll.benefit_plan AS p
JOIN (VALUES
    ('PPO', 'employee', 125.00, 496.00, 'per_month', 0, NULL),
    ('PPO', 'employee_spouse', 257.50, 782.60, 'per_month', 0, NULL),
    ('PPO', 'employee_children', 222.80, 705.60, 'per_month', 0, NULL),
    ('PPO', 'family', 378.40, 1081.20, 'per_month', 0, NULL),
    ('HDHP', 'employee', 70.00, 410.00, 'per_month', 0, NULL),
    ('HDHP', 'employee_spouse', 148.00, 664.00, 'per_month', 0, NULL),
    ('HDHP', 'employee_children', 128.00, 602.00, 'per_month', 0, NULL),
    ('HDHP', 'family', 215.00, 925.00, 'per_month', 0, NULL),
    ('DEN', 'employee', 16.80, 25.00, 'per_month', 0, NULL),
    ('DEN', 'employee_spouse', 35.00, 49.00, 'per_month', 0, NULL),
    ('DEN', 'employee_children', 40.00, 52.00, 'per_month', 0, NULL),
    ('DEN', 'family', 58.00, 74.00, 'per_month', 0, NULL),
    ('VIS', 'employee', 6.30, 0, 'per_month', 0, NULL),
    ('VIS', 'employee_spouse', 12.60, 0, 'per_month', 0, NULL),
    ('VIS', 'employee_children', 13.50, 0, 'per_month', 0, NULL),
    ('VIS', 'family', 19.80, 0, 'per_month', 0, NULL),
    ('LIFE', 'employee', 0, 0.16, 'per_1000_covered', 0, NULL),
    ('SLIFE', 'employee', 0.06, 0, 'per_1000_covered', 0, 34),
    ('SLIFE', 'employee', 0.11, 0, 'per_1000_covered', 35, 44),
    ('SLIFE', 'employee', 0.24, 0, 'per_1000_covered', 45, 54),
    ('SLIFE', 'employee', 0.52, 0, 'per_1000_covered', 55, NULL),
    ('ACC', 'employee', 9.50, 0, 'per_month', 0, NULL)
) AS r (code, tier, employee, employer, basis, age_from, age_to)
    ON p.plan_code IN (r.code || '-1', r.code || '-2')
JOIN (VALUES (false), (true)) AS t (smokes) ON NOT t.smokes OR p.plan_kind = 'medical'
CROSS JOIN LATERAL (
    SELECT round(r.employee * f.growth, 2) + CASE WHEN t.smokes THEN 60 ELSE 0 END AS employee,
           round(r.employer * f.growth, 2) AS employer
    FROM (
        SELECT CASE r.basis WHEN 'per_1000_covered' THEN 1
                            ELSE 1 + 0.05 * (extract(year FROM p.plan_year_start)
                                             - extract(year FROM %(as_of)s::date)) END AS growth
    ) AS f
) AS s
WHERE p.business_id = %(business_id)s;

INSERT INTO payroll.eligibility_rule
    (business_id, eligibility_rule_id, benefit_plan_id, worker_categories, minimum_hours_weekly,
     measurement, waiting_rule, waiting_days, age_minimum, service_months_minimum, priority)
SELECT p.business_id, md5(concat('rule ', r.priority, p.benefit_plan_id))::uuid,
       p.benefit_plan_id, r.categories, r.hours,
       CASE WHEN e.is_applicable_large_employer AND p.plan_kind = 'medical' THEN 'look_back'
            ELSE 'monthly' END,
       r.waiting, r.days, r.age, r.service, r.priority
FROM payroll.benefit_plan AS p
JOIN payroll.employer_entity AS e
    ON e.business_id = p.business_id AND e.employer_entity_id = p.employer_entity_id
JOIN (VALUES
    (1, 'health', ARRAY['full_time'], 30, 'first_of_month_after', 30, 0, 0),
    (2, 'smaller', ARRAY['part_time'], 20, 'days_after', 60, 0, 0),
    (1, 'savings', ARRAY['full_time', 'part_time'], 20, 'date_of_hire', 0, 21, 3)
) AS r (priority, part, categories, hours, waiting, days, age, service)
    ON r.part = CASE p.plan_kind WHEN 'retirement_401k' THEN 'savings' ELSE 'health' END
    OR (r.part = 'smaller' AND p.plan_kind IN ('dental', 'vision'))
WHERE p.business_id = %(business_id)s;

-- By which code each kind is taken from the pay.
UPDATE payroll.deduction_code AS c
SET benefit_plan_id = p.benefit_plan_id
FROM payroll.benefit_plan AS p
WHERE c.business_id = %(business_id)s AND p.business_id = c.business_id
  AND p.plan_year_start = date_trunc('year', %(as_of)s::date)::date
  AND p.plan_code = CASE c.code WHEN 'MED' THEN 'PPO-1' WHEN 'DEN' THEN 'DEN-1'
                                WHEN 'VIS' THEN 'VIS-1' WHEN 'ER-LIFE' THEN 'LIFE-1'
                                WHEN 'SUPLIFE' THEN 'SLIFE-1' WHEN 'HSA' THEN 'HSA-1'
                                WHEN 'FSA-H' THEN 'FSA-1' WHEN 'FSA-D' THEN 'DCFSA-1'
                                WHEN '401K' THEN 'SAVE-1' END;

-- Who may join, from when, until when. A place in the row of those who are there, of those who left
-- and of those in part time decides what they choose, so that a small tenant has one of each.
CREATE TEMP TABLE benefit_person ON COMMIT DROP AS
SELECT p.*,
       CASE WHEN p.is_part_time THEN 'employee'
            ELSE (ARRAY['employee', 'spouse', 'employee', 'family', 'employee', 'children',
                        'employee', 'family', 'employee', 'spouse', 'employee', 'employee',
                        'spouse', 'family', 'employee', 'children', 'employee', 'family',
                        'spouse', 'employee']
                 )[1 + (p.turn + CASE WHEN p.gone_on IS NULL THEN -1 ELSE 2 END) %% 20]
            END AS household,
       CASE WHEN p.is_part_time OR p.gone_on IS NOT NULL
                 OR p.joins_on > %(as_of)s::date - 300 THEN NULL
            WHEN p.turn <= 20 OR p.turn %% 60 < 20
            THEN CASE p.turn %% 20 WHEN 1 THEN 'newly married' WHEN 2 THEN 'divorce'
                                   WHEN 4 THEN 'birth' WHEN 9 THEN 'loss_of_coverage'
                                   WHEN 6 THEN 'reported' WHEN 10 THEN 'awaiting_proof'
                                   WHEN 12 THEN 'denied' WHEN 15 THEN 'expired' END
            WHEN p.turn %% 60 < 40
            THEN CASE p.turn %% 20 WHEN 1 THEN 'marriage' WHEN 4 THEN 'birth'
                                   WHEN 9 THEN 'loss_of_coverage' END
            ELSE CASE p.turn %% 20 WHEN 1 THEN 'marriage' WHEN 4 THEN 'adoption' END
            END AS happens,
       p.is_part_time OR p.turn %% 10 IN (3, 6, 9) AND p.gone_on IS NULL AS waives,
       NOT p.is_part_time AND p.turn %% 4 = 1 AS saves_for_health,
       p.place %% 25 = 7 AS smokes
FROM (
    SELECT e.*,
           row_number() OVER (PARTITION BY e.is_part_time, e.gone_on IS NOT NULL
                              ORDER BY e.joins_on > %(as_of)s::date - 300, e.place, e.employee_id)
               AS turn
    FROM (
        SELECT x.business_id, x.employee_id, x.employer_entity_id, x.birth_date, x.first_name,
               x.last_name, s.employment_spell_id, s.hired_on, s.last_day_worked,
               a.worker_category = 'part_time' AS is_part_time,
               CASE a.worker_category WHEN 'part_time' THEN s.hired_on + 60
                   ELSE least((date_trunc('month', s.hired_on + 30) + interval '1 month')::date,
                              s.hired_on + 90) END AS joins_on,
               greatest(s.hired_on + interval '3 months', x.birth_date + interval '21 years')::date
                   AS saves_from,
               (date_trunc('month', s.last_day_worked) + interval '1 month')::date AS gone_on,
               abs(hashtextextended('benefits ' || x.employee_id, 0) %% 10000)::integer AS place
        FROM payroll.employee AS x
        JOIN LATERAL (
            SELECT y.employment_spell_id, y.hired_on,
                   coalesce(y.last_day_worked, y.terminated_on) AS last_day_worked
            FROM payroll.employment_spell AS y
            WHERE y.business_id = x.business_id AND y.employee_id = x.employee_id
            ORDER BY y.hired_on DESC
            LIMIT 1
        ) AS s ON true
        JOIN payroll.job_assignment AS a
            ON a.business_id = x.business_id AND a.employee_id = x.employee_id AND a.is_primary
           AND a.worker_category IN ('full_time', 'part_time') AND a.standard_hours_weekly >= 20
        WHERE x.business_id = %(business_id)s
    ) AS e
    WHERE coalesce(e.joins_on < e.gone_on, true)
) AS p;

-- A fifth of the people have an event a year.
INSERT INTO payroll.life_event
    (business_id, life_event_id, reviewed_by, employee_id, event_kind, event_on, reported_at,
     proof_required, proof_received_on, status, allowed_changes, window_days, denial_reason)
SELECT p.business_id, md5('event ' || p.employee_id)::uuid,
       CASE WHEN v.status IN ('approved', 'denied') THEN u.user_account_id END, p.employee_id,
       v.kind, d.event_on,
       d.event_on::timestamp AT TIME ZONE 'UTC' + v.told * interval '1 day'
       + interval '15 hours',
       v.proof, CASE WHEN v.proof AND v.status = 'approved' THEN d.event_on + v.told + 2 END,
       v.status, v.changes, v.days, v.reason
FROM benefit_person AS p
JOIN (VALUES
    ('newly married', 'marriage', 10, 8, 3, true, 'approved',
     ARRAY['enroll', 'add_dependent', 'change_tier'], 30, NULL),
    ('marriage', 'marriage', 110, 120, 6, true, 'approved',
     ARRAY['enroll', 'add_dependent', 'change_tier'], 30, NULL),
    ('divorce', 'divorce', 70, 90, 9, true, 'approved',
     ARRAY['remove_dependent', 'change_tier'], 30, NULL),
    ('birth', 'birth', 95, 150, 5, true, 'approved',
     ARRAY['enroll', 'add_dependent', 'change_tier', 'change_contribution'], 60, NULL),
    ('adoption', 'adoption', 130, 100, 7, true, 'approved',
     ARRAY['enroll', 'add_dependent', 'change_tier'], 30, NULL),
    ('loss_of_coverage', 'loss_of_coverage', 120, 120, 4, true, 'approved',
     ARRAY['enroll'], 30, NULL),
    ('reported', 'gain_of_coverage', 5, 2, 1, true, 'reported', ARRAY['drop'], 30, NULL),
    ('awaiting_proof', 'birth', 14, 6, 4, true, 'awaiting_proof',
     ARRAY['add_dependent', 'change_tier'], 60, NULL),
    ('denied', 'move', 80, 60, 5, false, 'denied', '{}',
     30, 'The new home is in the area of the same plans'),
    ('expired', 'status_change', 150, 40, 41, false, 'expired', '{}', 30, NULL)
) AS v (happens, kind, ago, spread, told, proof, status, changes, days, reason)
    ON v.happens = p.happens
CROSS JOIN LATERAL (
    SELECT %(as_of)s::date - v.ago - p.place %% v.spread AS event_on
) AS d
LEFT JOIN LATERAL (
    SELECT x.user_account_id
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = p.business_id AND x.account_kind = 'staff'
    ORDER BY x.user_account_id
    LIMIT 1
) AS u ON true;

-- Families. From when each may be covered is in no column: the wedding, the birth.
CREATE TEMP TABLE benefit_family ON COMMIT DROP AS
SELECT p.business_id, p.employee_id, md5(concat('dependent ', k.number, p.employee_id))::uuid
           AS dependent_id, k.*,
       (k.place * 7 + k.number) %% 12 AS named
FROM benefit_person AS p
LEFT JOIN payroll.life_event AS v
    ON v.business_id = p.business_id AND v.employee_id = p.employee_id
CROSS JOIN LATERAL (
    SELECT 0 AS number,
           CASE WHEN p.place %% 12 = 5 AND p.happens IS NULL THEN 'domestic_partner'
                ELSE 'spouse' END AS relationship,
           least(p.birth_date + (p.place %% 2200 - 1100), %(as_of)s::date - 7300) AS birth_date,
           CASE WHEN p.happens IN ('newly married', 'marriage') THEN v.event_on
                ELSE '-infinity' END AS since,
           CASE p.happens WHEN 'divorce' THEN v.event_on END AS ended_on,
           p.place
    WHERE p.household IN ('spouse', 'family') OR p.happens IN ('newly married', 'marriage')
    UNION ALL
    SELECT n.number, CASE WHEN p.place %% 9 = n.number THEN 'stepchild' ELSE 'child' END,
           %(as_of)s::date - 200
               - (p.place * 37 + n.number * 1131)
                 %% greatest(1, least(%(as_of)s::date - p.birth_date - 7300, 9900)),
           '-infinity', NULL, p.place
    FROM generate_series(1, 1 + p.place %% 3) AS n (number)
    WHERE p.household IN ('children', 'family')
    UNION ALL
    SELECT 9, CASE v.event_kind WHEN 'adoption' THEN 'adopted' ELSE 'child' END,
           CASE v.event_kind WHEN 'adoption' THEN v.event_on - 400 ELSE v.event_on END,
           -- Nobody is covered before the event is proven.
           CASE v.status WHEN 'approved' THEN v.event_on ELSE 'infinity' END, NULL, p.place
    WHERE v.event_kind IN ('birth', 'adoption')
) AS k;

INSERT INTO payroll.dependent
    (business_id, dependent_id, employee_id, relationship, first_name, last_name, birth_date,
     ssn_token, sex, is_full_time_student, verified_on, ended_on)
SELECT f.business_id, f.dependent_id, f.employee_id, f.relationship,
       (CASE f.named %% 2
            WHEN 0 THEN ARRAY['Amelia', 'Priya', 'Sofia', 'Nora', 'Grace', 'Elena']
            ELSE ARRAY['Owen', 'Mateo', 'Elijah', 'Samuel', 'Andre', 'Lucas'] END
       )[1 + f.named / 2],
       p.last_name, f.birth_date,
       CASE WHEN f.birth_date < %(as_of)s::date - 60
            THEN 'vault:payroll/dependent/' || left(md5(f.dependent_id::text), 12) END,
       CASE f.named %% 2 WHEN 0 THEN 'female' ELSE 'male' END,
       f.number > 0 AND f.birth_date < %(as_of)s::date - 6600
           AND f.birth_date > %(as_of)s::date - 8400,
       CASE WHEN f.since = 'infinity' OR p.happens = 'newly married' AND f.number = 0 THEN NULL
            ELSE least(%(as_of)s::date - 1, greatest(f.since + 8, p.joins_on - 20, f.birth_date))
            END,
       f.ended_on
FROM benefit_family AS f
JOIN benefit_person AS p ON p.employee_id = f.employee_id;

-- When somebody elects: on joining, each November for the next year, after what changed their life.
CREATE TEMP TABLE benefit_point ON COMMIT DROP AS
SELECT x.*
FROM (
    SELECT p.employee_id, 'open_enrollment' AS point_kind,
           md5(concat('open enrollment ', y.year, p.business_id))::uuid AS enrollment_window_id,
           make_date(y.year, 1, 1) AS starts_on, make_date(y.year - 1, 11, 3) AS opens_on,
           make_date(y.year - 1, 11, 21) AS closes_on,
           make_date(y.year - 1, 11, 3)
               + abs(hashtextextended(concat('signs ', y.year, p.employee_id), 0) %% 18)::integer
               AS signed_on
    FROM benefit_person AS p
    CROSS JOIN generate_series(extract(year FROM %(as_of)s::date)::integer - 2,
                               extract(year FROM %(as_of)s::date)::integer + 1) AS y (year)
    WHERE p.joins_on < make_date(y.year, 1, 1)
      AND coalesce(p.gone_on > make_date(y.year, 1, 1), true)
      AND p.hired_on <= make_date(y.year - 1, 11, 3)
    UNION ALL
    SELECT p.employee_id, 'new_hire', md5('new hire ' || p.employee_id)::uuid, p.joins_on,
           p.hired_on, p.hired_on + 30, p.hired_on + 3 + p.place %% 20
    FROM benefit_person AS p
    WHERE p.joins_on >= make_date(extract(year FROM %(as_of)s::date)::integer - 2, 1, 1)
    UNION ALL
    SELECT p.employee_id, 'life_event', md5('after ' || v.life_event_id)::uuid,
           CASE WHEN v.event_kind IN ('birth', 'adoption') THEN v.event_on
                ELSE (date_trunc('month', v.event_on) + interval '1 month')::date END,
           v.event_on, v.event_on + v.window_days, v.event_on + 14 + p.place %% 10
    FROM benefit_person AS p
    JOIN payroll.life_event AS v
        ON v.business_id = p.business_id AND v.employee_id = p.employee_id
       AND v.status = 'approved'
) AS x;

INSERT INTO payroll.enrollment_window
    (business_id, enrollment_window_id, employee_id, life_event_id, window_kind, opens_on,
     closes_on, coverage_effective_on, status, plan_year, invited_count, reminder_stage)
SELECT %(business_id)s::uuid, w.enrollment_window_id, w.employee_id, w.life_event_id, w.kind,
       w.opens_on, w.closes_on, w.starts_on,
       CASE WHEN w.kind = 'correction' THEN 'extended'
            WHEN w.opens_on > %(as_of)s::date THEN 'scheduled'
            WHEN w.closes_on < %(as_of)s::date THEN 'closed' ELSE 'open' END,
       extract(year FROM w.starts_on), w.invited,
       CASE WHEN w.opens_on > %(as_of)s::date THEN 'none'
            WHEN w.closes_on < %(as_of)s::date THEN 'last_days'
            WHEN w.opens_on < %(as_of)s::date - 14 THEN 'halfway' ELSE 'opening' END
FROM (
    SELECT x.enrollment_window_id,
           CASE WHEN x.point_kind <> 'open_enrollment' THEN min(x.employee_id::text)::uuid END
               AS employee_id,
           CASE x.point_kind WHEN 'life_event'
                             THEN md5('event ' || min(x.employee_id::text))::uuid END
               AS life_event_id,
           x.point_kind AS kind, x.opens_on, x.closes_on, x.starts_on, count(*) AS invited
    FROM benefit_point AS x
    -- Next year's is announced in September.
    WHERE x.opens_on < %(as_of)s::date + 62
    GROUP BY x.enrollment_window_id, x.point_kind, x.opens_on, x.closes_on, x.starts_on
    UNION ALL
    -- Some were told the wrong price and may choose again.
    SELECT md5('correction ' || p.employee_id)::uuid, p.employee_id, NULL, 'correction',
           %(as_of)s::date - 16, %(as_of)s::date + 14,
           (date_trunc('month', %(as_of)s::date) + interval '1 month')::date, 1
    FROM benefit_person AS p
    WHERE NOT p.is_part_time AND p.gone_on IS NULL AND p.turn %% 20 IN (3, 8, 13)
      AND p.joins_on < %(as_of)s::date
) AS w;

-- What each chooses of the kinds of plan.
CREATE TEMP TABLE benefit_choice ON COMMIT DROP AS
SELECT p.employee_id, c.*
FROM benefit_person AS p
CROSS JOIN LATERAL (VALUES
    ('medical', CASE WHEN p.saves_for_health THEN 'HDHP' ELSE 'PPO' END, NOT p.is_part_time,
     p.joins_on, NULL::numeric, NULL::numeric, NULL::numeric),
    ('dental', 'DEN', CASE WHEN p.is_part_time THEN p.turn %% 4 = 1 ELSE p.turn %% 5 <> 3 END,
     p.joins_on, NULL, NULL, NULL),
    ('vision', 'VIS', CASE WHEN p.is_part_time THEN p.turn %% 8 = 1 ELSE p.turn %% 5 < 2 END,
     p.joins_on, NULL, NULL, NULL),
    ('basic_life', 'LIFE', NOT p.is_part_time, p.joins_on, 50000, NULL, NULL),
    ('supplemental_life', 'SLIFE', NOT p.is_part_time AND p.turn %% 5 = 2, p.joins_on,
     (1 + p.place %% 3) * 50000, NULL, NULL),
    ('hsa', 'HSA', p.saves_for_health AND NOT p.waives, p.joins_on, NULL, NULL,
     40 + p.place %% 4 * 20),
    ('health_fsa', 'FSA', NOT p.is_part_time AND NOT p.saves_for_health AND p.turn %% 8 = 2,
     p.joins_on, NULL, NULL, 50 + p.place %% 3 * 10),
    ('dependent_fsa', 'DCFSA', p.household IN ('children', 'family') AND p.turn %% 4 = 0,
     p.joins_on, NULL, NULL, 100),
    ('retirement_401k', 'SAVE',
     CASE WHEN p.is_part_time THEN p.turn %% 5 = 2 ELSE p.place %% 100 < 52 OR p.turn = 1 END,
     p.saves_from, NULL, 3 + p.place %% 6, NULL)
) AS c (plan_kind, plan_code, is_chosen, may_from, coverage, percent, amount)
WHERE c.is_chosen;

-- One stretch of coverage per election; an election that changes nothing is none.
CREATE TEMP TABLE benefit_stretch ON COMMIT DROP AS
WITH elected AS (
    SELECT DISTINCT ON (p.employee_id, c.plan_kind, s.starts_on)
           p.business_id, p.employee_id, p.employer_entity_id, p.birth_date, p.gone_on,
           p.joins_on, p.smokes, p.turn, c.plan_kind, c.plan_code, c.coverage, c.percent,
           c.amount, t.point_kind, t.enrollment_window_id, t.signed_on, s.starts_on,
           CASE WHEN c.plan_kind NOT IN ('medical', 'dental', 'vision') THEN 'employee'
                WHEN c.plan_kind = 'medical' AND p.waives
                     AND NOT coalesce(p.happens = 'loss_of_coverage'
                                      AND s.starts_on >= l.starts_on, false)
                THEN 'none'
                WHEN f.spouses > 0 AND f.children > 0 THEN 'family'
                WHEN f.spouses > 0 THEN 'employee_spouse'
                WHEN f.children > 0 THEN 'employee_children' ELSE 'employee' END AS tier
    FROM benefit_person AS p
    JOIN benefit_choice AS c ON c.employee_id = p.employee_id
    JOIN benefit_point AS t ON t.employee_id = p.employee_id
    CROSS JOIN LATERAL (
        SELECT CASE t.point_kind WHEN 'new_hire' THEN greatest(t.starts_on, c.may_from)
                                 ELSE t.starts_on END AS starts_on
    ) AS s
    LEFT JOIN benefit_point AS l
        ON l.employee_id = p.employee_id AND l.point_kind = 'life_event'
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE x.number = 0) AS spouses,
               count(*) FILTER (WHERE x.number > 0) AS children
        FROM benefit_family AS x
        WHERE x.employee_id = p.employee_id AND x.since <= s.starts_on
          AND coalesce(x.ended_on >= s.starts_on, true)
          AND (x.number = 0
               OR x.birth_date <= s.starts_on
                  AND date_trunc('month', x.birth_date + interval '26 years') + interval '1 month'
                      > s.starts_on)
    ) AS f
    WHERE t.signed_on < %(as_of)s::date
      AND (t.point_kind = 'new_hire' OR c.may_from < t.starts_on)
      AND (t.point_kind <> 'life_event' OR c.plan_kind IN ('medical', 'dental', 'vision'))
      -- The newly married have yet to prove it.
      AND (t.point_kind <> 'life_event' OR p.happens <> 'newly married')
      AND coalesce(s.starts_on < p.gone_on, true)
    ORDER BY p.employee_id, c.plan_kind, s.starts_on, t.point_kind
), changed AS (
    SELECT e.*
    FROM (
        SELECT x.*, lag(x.tier) OVER (PARTITION BY x.employee_id, x.plan_kind
                                      ORDER BY x.starts_on) AS former
        FROM elected AS x
    ) AS e
    WHERE e.point_kind <> 'life_event' OR e.tier <> e.former
)
SELECT c.*, md5(concat_ws(' ', 'enrollment', c.plan_kind, c.starts_on, c.employee_id))::uuid
                AS benefit_enrollment_id,
       least(n.next_on, c.gone_on) AS ends_on,
       CASE WHEN n.next_on IS NOT NULL THEN 'Elected anew'
            WHEN c.gone_on IS NOT NULL THEN 'Employment ended' END AS end_reason,
       abs(hashtextextended(concat_ws(' ', c.plan_kind, c.starts_on, c.employee_id), 0)
           %% 100)::integer AS odd
FROM changed AS c
JOIN (
    SELECT x.employee_id, x.plan_kind, x.starts_on,
           lead(x.starts_on) OVER (PARTITION BY x.employee_id, x.plan_kind
                                   ORDER BY x.starts_on) AS next_on
    FROM changed AS x
) AS n USING (employee_id, plan_kind, starts_on);

-- Who said nothing in November keeps last year's coverage.
INSERT INTO payroll.benefit_enrollment
    (business_id, benefit_enrollment_id, employee_id, benefit_plan_id, benefit_plan_rate_id,
     enrollment_window_id, plan_kind, election, coverage_tier, coverage_amount,
     employee_cost_per_period_amount, employer_cost_per_period_amount, effective_from,
     effective_until, contribution_percent, signed_at, status, end_reason,
     evidence_of_insurability)
SELECT s.business_id, s.benefit_enrollment_id, s.employee_id, p.benefit_plan_id,
       r.benefit_plan_rate_id, s.enrollment_window_id, s.plan_kind, x.election, s.tier,
       s.coverage, coalesce(k.employee_amount, s.amount, 0),
       coalesce(k.employer_amount, CASE s.plan_kind WHEN 'hsa' THEN 25 END, 0), s.starts_on,
       s.ends_on, s.percent,
       CASE WHEN x.election <> 'defaulted'
            THEN s.signed_on::timestamp AT TIME ZONE 'UTC'
                 + (13 * 60 + s.odd * 5) * interval '1 minute' END,
       CASE WHEN s.ends_on IS NULL THEN 'active' ELSE 'ended' END, s.end_reason,
       CASE WHEN s.plan_kind = 'supplemental_life' AND s.coverage > 100000 THEN 'approved'
            ELSE 'not_needed' END
FROM benefit_stretch AS s
JOIN payroll.benefit_plan AS p
    ON p.business_id = s.business_id AND p.employer_entity_id = s.employer_entity_id
   AND p.plan_code IN (s.plan_code || '-1', s.plan_code || '-2')
   AND s.starts_on BETWEEN p.plan_year_start AND p.plan_year_end
LEFT JOIN payroll.benefit_plan_rate AS r
    ON r.business_id = p.business_id AND r.benefit_plan_id = p.benefit_plan_id
   AND r.coverage_tier = s.tier AND r.tobacco_user = (s.smokes AND p.plan_kind = 'medical')
   AND int4range(r.age_from, r.age_to, '[]')
       @> extract(year FROM age(s.starts_on, s.birth_date))::integer
LEFT JOIN LATERAL payroll.enrollment_cost(r.benefit_plan_rate_id, s.coverage, 'biweekly') AS k
    ON true
CROSS JOIN LATERAL (
    SELECT CASE WHEN s.tier = 'none' THEN 'waived'
                WHEN s.point_kind = 'open_enrollment' AND s.odd < 18
                     AND make_date(extract(year FROM s.starts_on)::integer - 1, 11, 21)
                         < %(as_of)s::date
                     AND s.joins_on < (s.starts_on - interval '1 year')::date THEN 'defaulted'
                ELSE 'elected' END AS election
) AS x
ORDER BY s.starts_on, s.benefit_enrollment_id;

-- Some changed their mind in November; the newly married have elected what waits for a certificate,
-- and a draft beside it.
INSERT INTO payroll.benefit_enrollment
    (business_id, benefit_enrollment_id, employee_id, benefit_plan_id, benefit_plan_rate_id,
     enrollment_window_id, plan_kind, coverage_tier, employee_cost_per_period_amount,
     employer_cost_per_period_amount, effective_from, signed_at, status, end_reason)
SELECT p.business_id, md5(concat_ws(' ', x.status, l.plan_kind, p.employee_id))::uuid,
       p.employee_id, l.benefit_plan_id, r.benefit_plan_rate_id, t.enrollment_window_id,
       l.plan_kind, x.tier, k.employee_amount, k.employer_amount, t.starts_on,
       CASE x.status WHEN 'draft' THEN NULL
            ELSE (CASE x.status WHEN 'cancelled' THEN t.opens_on ELSE t.opens_on + 5 END
                 )::timestamp AT TIME ZONE 'UTC' + interval '12 hours' END,
       x.status, CASE x.status WHEN 'cancelled' THEN 'Elected anew' END
FROM benefit_person AS p
JOIN benefit_point AS t ON t.employee_id = p.employee_id
JOIN (VALUES
    ('life_event', 'pending_proof', 'employee_spouse', 'medical'),
    ('life_event', 'draft', 'employee_spouse', 'dental'),
    ('open_enrollment', 'cancelled', 'employee', 'medical')
) AS x (point_kind, status, tier, plan_kind)
    ON x.point_kind = t.point_kind
   AND CASE x.status WHEN 'cancelled' THEN p.turn %% 20 = 5 AND p.gone_on IS NULL
                     ELSE p.happens = 'newly married' END
JOIN payroll.benefit_plan AS l
    ON l.business_id = p.business_id AND l.employer_entity_id = p.employer_entity_id
   AND l.plan_code IN ('PPO-1', 'PPO-2', 'DEN-1', 'DEN-2') AND l.plan_kind = x.plan_kind
   AND t.starts_on BETWEEN l.plan_year_start AND l.plan_year_end
JOIN payroll.benefit_plan_rate AS r
    ON r.business_id = l.business_id AND r.benefit_plan_id = l.benefit_plan_id
   AND r.coverage_tier = x.tier AND NOT r.tobacco_user
CROSS JOIN LATERAL payroll.enrollment_cost(r.benefit_plan_rate_id, NULL, 'biweekly') AS k
WHERE NOT p.is_part_time
  AND (x.status <> 'cancelled'
       OR t.starts_on = date_trunc('year', %(as_of)s::date)::date);

INSERT INTO payroll.enrollment_dependent
    (business_id, enrollment_dependent_id, benefit_enrollment_id, dependent_id, covered_from,
     covered_until, primary_care_provider, is_court_ordered, proof_status, end_reason,
     cobra_eligible)
SELECT s.business_id,
       md5(concat_ws(' ', 'covers', s.benefit_enrollment_id, f.dependent_id))::uuid,
       s.benefit_enrollment_id, f.dependent_id, d.covered_from, d.covered_until,
       CASE WHEN s.plan_kind = 'medical' AND f.number > 0
            THEN (ARRAY['Dr. Halloran', 'Dr. Ibekwe', 'Lakeshore Pediatrics'])[1 + s.turn %% 3] END,
       f.number > 0 AND f.number < 9 AND s.turn %% 40 = 16, 'received', x.reason,
       coalesce(x.reason IN ('aged_out', 'divorce', 'termination'), false)
           AND f.relationship <> 'domestic_partner'
FROM benefit_stretch AS s
JOIN benefit_family AS f
    ON f.employee_id = s.employee_id
   AND CASE WHEN f.number = 0 THEN s.tier IN ('employee_spouse', 'family')
            ELSE s.tier IN ('employee_children', 'family') END
CROSS JOIN LATERAL (
    SELECT CASE WHEN f.number > 0
                THEN (date_trunc('month', f.birth_date + interval '26 years')
                      + interval '1 month')::date END AS grown_on,
           (date_trunc('month', f.ended_on) + interval '1 month')::date AS parted_on
) AS e
CROSS JOIN LATERAL (
    SELECT greatest(s.starts_on, f.since, f.birth_date) AS covered_from,
           least(s.ends_on, e.parted_on,
                 CASE WHEN s.ends_on IS NOT NULL OR e.grown_on <= %(as_of)s::date
                      THEN e.grown_on END) AS covered_until
) AS d
CROSS JOIN LATERAL (
    SELECT CASE WHEN d.covered_until IS NULL THEN NULL
                WHEN d.covered_until = e.grown_on
                     AND coalesce(e.grown_on < s.ends_on, true) THEN 'aged_out'
                WHEN d.covered_until = e.parted_on THEN 'divorce'
                WHEN s.end_reason = 'Employment ended' THEN 'termination'
                ELSE 'voluntary' END AS reason
) AS x
WHERE coalesce(d.covered_from < d.covered_until, true)
  AND d.covered_from < coalesce(e.grown_on, 'infinity')
  AND d.covered_from < 'infinity'
UNION ALL
SELECT e.business_id, md5(concat_ws(' ', 'covers', e.benefit_enrollment_id, f.dependent_id))::uuid,
       e.benefit_enrollment_id, f.dependent_id, e.effective_from, NULL, NULL, false, 'pending',
       NULL, false
FROM payroll.benefit_enrollment AS e
JOIN benefit_family AS f ON f.employee_id = e.employee_id AND f.number = 0
WHERE e.business_id = %(business_id)s AND e.status = 'pending_proof';

-- What is elected is taken from the pay; accounts by no more than their election of the year.
INSERT INTO payroll.employee_deduction
    (business_id, employee_deduction_id, employee_id, deduction_code_id, benefit_enrollment_id,
     amount, percent, employer_amount, employer_percent, effective_from, effective_until,
     goal_amount, frequency, stop_reason)
SELECT e.business_id, md5('deduction ' || e.benefit_enrollment_id)::uuid, e.employee_id,
       c.deduction_code_id, e.benefit_enrollment_id,
       CASE WHEN e.contribution_percent IS NULL THEN e.employee_cost_per_period_amount END,
       e.contribution_percent, e.employer_cost_per_period_amount,
       coalesce(m.matched, 0), e.effective_from, e.effective_until,
       CASE WHEN e.plan_kind IN ('health_fsa', 'dependent_fsa')
            THEN e.employee_cost_per_period_amount
                 * greatest(1, ((date_trunc('year', e.effective_from) + interval '1 year')::date
                                - e.effective_from) / 14) END,
       CASE WHEN e.benefit_plan_rate_id IS NULL THEN 'every_period'
            ELSE 'first_two_of_month' END,
       CASE WHEN e.effective_until IS NOT NULL THEN e.end_reason END
FROM payroll.benefit_enrollment AS e
JOIN payroll.deduction_code AS c
    ON c.business_id = e.business_id
   AND c.code = CASE e.plan_kind WHEN 'medical' THEN 'MED' WHEN 'dental' THEN 'DEN'
                                 WHEN 'vision' THEN 'VIS' WHEN 'basic_life' THEN 'ER-LIFE'
                                 WHEN 'supplemental_life' THEN 'SUPLIFE' WHEN 'hsa' THEN 'HSA'
                                 WHEN 'health_fsa' THEN 'FSA-H' WHEN 'dependent_fsa' THEN 'FSA-D'
                                 ELSE '401K' END
LEFT JOIN LATERAL (
    SELECT payroll.employer_match(e.benefit_plan_id, e.contribution_percent) AS matched
    WHERE e.contribution_percent IS NOT NULL
) AS m ON true
WHERE e.business_id = %(business_id)s AND e.status IN ('active', 'ended')
  AND e.election <> 'waived';

-- Who receives what: the spouse first, then children in equal shares; of who has neither, a parent.
-- A former spouse was named until somebody else was.
INSERT INTO payroll.beneficiary_designation
    (business_id, beneficiary_designation_id, employee_id, benefit_plan_id, dependent_id,
     beneficiary_name, relationship, designation, share_pct, date_of_birth, is_trust,
     effective_from, superseded_at)
WITH member AS (
    SELECT s.business_id, s.employee_id, s.plan_kind, p.benefit_plan_id, b.last_name, b.place,
           least(s.starts_on, %(as_of)s::date) AS since, v.event_on AS parted_on,
           greatest(least(s.starts_on, %(as_of)s::date), v.event_on + 20) AS stands_from
    FROM benefit_stretch AS s
    JOIN payroll.benefit_enrollment AS e
        ON e.business_id = s.business_id AND e.benefit_enrollment_id = s.benefit_enrollment_id
       AND e.status = 'active'
    JOIN payroll.benefit_plan AS p
        ON p.business_id = e.business_id AND p.benefit_plan_id = e.benefit_plan_id
    JOIN benefit_person AS b ON b.employee_id = s.employee_id
    LEFT JOIN payroll.life_event AS v
        ON v.business_id = s.business_id AND v.employee_id = s.employee_id
       AND v.event_kind = 'divorce'
    WHERE s.plan_kind IN ('basic_life', 'retirement_401k') AND b.place %% 10 < 8
), family AS (
    SELECT m.*, f.dependent_id, f.number, d.first_name, d.birth_date, d.relationship,
           count(*) FILTER (WHERE f.number > 0)
               OVER (PARTITION BY m.employee_id, m.plan_kind) AS children,
           count(*) FILTER (WHERE f.number = 0)
               OVER (PARTITION BY m.employee_id, m.plan_kind) AS partners,
           row_number() OVER (PARTITION BY m.employee_id, m.plan_kind, f.number > 0
                              ORDER BY f.number) AS place_of_child
    FROM member AS m
    JOIN benefit_family AS f ON f.employee_id = m.employee_id AND f.ended_on IS NULL
    JOIN payroll.dependent AS d
        ON d.business_id = m.business_id AND d.dependent_id = f.dependent_id
)
SELECT n.business_id,
       md5(concat_ws(' ', 'named', n.rank, n.plan_kind, n.who, n.employee_id))::uuid,
       n.employee_id, n.benefit_plan_id, n.dependent_id, n.name, n.relationship, n.rank, n.share,
       n.born, n.is_trust, n.since, n.superseded_at
FROM (
    SELECT f.business_id, f.employee_id, f.benefit_plan_id, f.plan_kind, f.dependent_id,
           f.dependent_id::text AS who, f.first_name || ' ' || f.last_name AS name,
           f.relationship,
           CASE WHEN f.number = 0 OR f.partners = 0 THEN 'primary' ELSE 'contingent' END AS rank,
           CASE WHEN f.number = 0 THEN 100
                WHEN f.place_of_child = 1
                THEN 100 - (f.children - 1) * trunc(100.0 / f.children, 2)
                ELSE trunc(100.0 / f.children, 2) END AS share,
           f.birth_date AS born, false AS is_trust,
           greatest(f.stands_from, least(f.birth_date + 30, %(as_of)s::date)) AS since,
           NULL::timestamptz AS superseded_at
    FROM family AS f
    UNION ALL
    SELECT m.business_id, m.employee_id, m.benefit_plan_id, m.plan_kind, NULL, k.who,
           k.name, k.relationship, k.rank, 100, NULL, k.is_trust, m.stands_from, NULL
    FROM member AS m
    CROSS JOIN LATERAL (VALUES
        ('parent', 'Ruth ' || m.last_name, 'parent', 'primary', false),
        ('trust', 'The ' || m.last_name || ' family trust', 'trust', 'contingent', true)
    ) AS k (who, name, relationship, rank, is_trust)
    WHERE NOT EXISTS (SELECT FROM family AS f WHERE f.employee_id = m.employee_id)
      AND (k.who = 'parent' OR m.place %% 6 = 1)
    UNION ALL
    SELECT m.business_id, m.employee_id, m.benefit_plan_id, m.plan_kind, d.dependent_id, 'former',
           d.first_name || ' ' || d.last_name, 'spouse', 'primary', 100, d.birth_date, false,
           m.since,
           (m.parted_on + 20)::timestamp AT TIME ZONE 'UTC' + interval '16 hours'
    FROM member AS m
    JOIN payroll.dependent AS d
        ON d.business_id = m.business_id AND d.employee_id = m.employee_id
       AND d.ended_on IS NOT NULL
    WHERE m.since < m.parted_on
) AS n;
