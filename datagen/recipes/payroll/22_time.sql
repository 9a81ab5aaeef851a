SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Whose state names no day gets the final pay with the next regular one.
UPDATE payroll.employment_spell AS s
SET final_pay_due_on = coalesce(payroll.final_pay_due(s.employment_spell_id),
                                s.terminated_on + 14)
WHERE s.business_id = %(business_id)s AND s.terminated_on IS NOT NULL
  AND s.final_pay_due_on IS NULL;

-- Rules belong to places, leave to its codes.
UPDATE payroll.overtime_rule AS r
SET work_location_id = l.work_location_id
FROM payroll.work_location AS l
WHERE r.business_id = %(business_id)s AND l.business_id = r.business_id
  AND (r.code, l.code) IN (('IL-ODRISA', 'CHI'), ('CA-IWC4', 'OAK'));

UPDATE payroll.pay_premium_rule AS r
SET earning_code_id = (
    SELECT e.earning_code_id
    FROM payroll.earning_code AS e
    WHERE e.business_id = r.business_id AND e.is_active AND e.earning_kind = 'premium'
    ORDER BY e.code = r.code DESC, e.code
    LIMIT 1)
WHERE r.business_id = %(business_id)s;

UPDATE payroll.time_off_policy AS p
SET earning_code_id = (
    SELECT e.earning_code_id
    FROM payroll.earning_code AS e
    WHERE e.business_id = p.business_id AND e.is_active AND e.earning_kind = 'pto'
    ORDER BY e.code = CASE p.leave_kind WHEN 'sick' THEN 'SICK' WHEN 'unpaid' THEN 'UNPAID'
                                        ELSE 'PTO' END DESC, e.code
    LIMIT 1)
WHERE p.business_id = %(business_id)s;

INSERT INTO payroll.accrual_tier
    (business_id, accrual_tier_id, time_off_policy_id, tier_no, from_service_months,
     to_service_months, hours_per_year, max_balance_hours, front_load_hours)
SELECT p.business_id, md5('tier ' || t.number || p.time_off_policy_id)::uuid,
       p.time_off_policy_id, t.number, t.low, t.high, t.hours,
       CASE WHEN p.code = 'VAC' THEN t.hours * 1.5 END,
       CASE WHEN p.accrual_method = 'annual_front_load' THEN t.hours END
FROM payroll.time_off_policy AS p
JOIN (VALUES ('VAC', 1, 0, 24, 80), ('VAC', 2, 24, 60, 120), ('VAC', 3, 60, NULL, 160),
             ('SICK', 1, 0, NULL, 72), ('FLOAT', 1, 0, NULL, 16)) AS t (code, number, low, high,
                                                                        hours)
    ON t.code = p.code
WHERE p.business_id = %(business_id)s;

-- Vacation and sick leave for all, floating holidays for full time; with the balance that the
-- former system handed over when it was replaced.
INSERT INTO payroll.time_off_enrollment
    (business_id, time_off_enrollment_id, employee_id, time_off_policy_id, enrolled_on, ended_on)
SELECT s.business_id, md5('plan ' || p.code || s.employee_id)::uuid, s.employee_id,
       p.time_off_policy_id, s.hired_on, s.terminated_on
FROM payroll.employment_spell AS s
JOIN payroll.job_assignment AS a
    ON a.business_id = s.business_id AND a.employee_id = s.employee_id AND a.is_primary
JOIN payroll.time_off_policy AS p
    ON p.business_id = s.business_id
   AND (p.code IN ('VAC', 'SICK') OR p.code = 'FLOAT' AND a.worker_category = 'full_time'
        OR p.code = 'UNPAID' AND abs(hashtextextended('unpaid ' || s.employee_id, 0) %% 10) = 0)
WHERE s.business_id = %(business_id)s
  AND s.hired_on = (SELECT max(x.hired_on) FROM payroll.employment_spell AS x
                    WHERE x.business_id = s.business_id AND x.employee_id = s.employee_id);

-- Requests: a vacation now and then, sick days in between, some for the weeks to come.
INSERT INTO payroll.time_off_request
    (business_id, time_off_request_id, employee_id, time_off_policy_id, decided_by, starts_on,
     ends_on, hours_requested, taken_hours, status, submitted_at, decided_at, denial_reason,
     conflicts_found, employee_note, balance_at_request_hours)
SELECT r.business_id, md5('leave ' || r.slot || r.employee_id)::uuid, r.employee_id,
       r.time_off_policy_id,
       CASE WHEN r.status IN ('approved', 'denied', 'taken', 'partly_taken') THEN u.user_account_id
            END,
       r.starts_on, r.ends_on, h.hours,
       CASE r.status WHEN 'taken' THEN h.hours WHEN 'partly_taken' THEN h.hours - 4 END, r.status,
       CASE WHEN r.status <> 'draft' THEN r.asked_at END,
       CASE WHEN r.status IN ('approved', 'denied', 'taken', 'partly_taken')
            THEN r.asked_at + interval '20 hours' END,
       CASE WHEN r.status = 'denied' THEN 'Too many of the team are away that week' END,
       CASE WHEN r.status = 'draft' THEN 0 ELSE r.ends_on - r.starts_on + 1 END,
       CASE WHEN r.place %% 4 = 0 THEN 'Visiting family' END, NULL
FROM (
    SELECT e.business_id, e.employee_id, e.time_off_policy_id, s.slot, n.place, d.starts_on,
           d.starts_on + d.length AS ends_on,
           (CASE WHEN p.code = 'SICK' THEN d.starts_on ELSE d.starts_on - 45 - n.place %% 9 END
            )::timestamp AT TIME ZONE 'UTC' + interval '13 hours' AS asked_at,
           CASE WHEN d.starts_on + d.length < %(as_of)s::date
                THEN CASE WHEN n.place %% 100 < 86 OR p.code = 'SICK' THEN 'taken'
                          WHEN n.place %% 100 < 90 AND d.length > 0 THEN 'partly_taken'
                          WHEN n.place %% 100 < 95 THEN 'denied' ELSE 'cancelled' END
                WHEN d.starts_on > %(as_of)s::date + 20 AND n.place %% 10 < 5 THEN 'submitted'
                WHEN n.place %% 10 = 9 THEN 'draft' ELSE 'approved' END AS status
    FROM payroll.time_off_enrollment AS e
    JOIN payroll.time_off_policy AS p
        ON p.business_id = e.business_id AND p.time_off_policy_id = e.time_off_policy_id
    CROSS JOIN generate_series(0, 6) AS s (slot)
    CROSS JOIN LATERAL (
        SELECT abs(hashtextextended('leave ' || s.slot || e.employee_id, 0) %% 1000)::integer
            AS place
    ) AS n
    CROSS JOIN LATERAL (
        -- A slot is four weeks; leave lies in its second or third, from Monday to Friday.
        SELECT (date_trunc('week', (%(as_of)s::date - 140 + s.slot * 28)::timestamp)::date + 7
                + n.place %% 2 * 7 + n.place / 2 %% 3) AS starts_on,
               CASE WHEN p.code = 'VAC' THEN n.place / 7 %% 3 ELSE 0 END AS length
    ) AS d
    WHERE e.business_id = %(business_id)s AND d.starts_on > e.enrolled_on + 90
      AND e.enrolled_on < %(as_of)s::date - 160   -- who is new has not earned much
      AND coalesce(d.starts_on + d.length <= e.ended_on, true)
      AND p.code = CASE WHEN s.slot IN (1, 3) THEN 'SICK' ELSE 'VAC' END
      AND (p.code = 'VAC' OR d.starts_on < %(as_of)s::date)
      AND n.place %% 100 >= CASE WHEN s.slot >= 5 THEN 30 ELSE 45 END
) AS r
-- Nobody asks for hours of a holiday.
CROSS JOIN LATERAL (
    SELECT 8 * count(*) AS hours
    FROM payroll.leave_days(r.time_off_policy_id, r.starts_on, r.ends_on)
) AS h
LEFT JOIN LATERAL (
    SELECT y.user_account_id
    FROM user_mgmt.user_account AS y
    JOIN payroll.employee AS m
        ON m.business_id = y.business_id AND m.employee_id = r.employee_id
       AND m.user_account_id IS DISTINCT FROM y.user_account_id
    WHERE y.business_id = r.business_id AND y.account_kind = 'staff' AND y.status = 'active'
    ORDER BY y.user_account_id
    LIMIT 1
) AS u ON true
WHERE r.asked_at < %(as_of)s;

-- Shifts: the pattern of each schedule, without the days off. Two weeks ahead are published, the
-- rest is a draft; one shift in sixty is not turned up for.
INSERT INTO payroll.scheduled_shift
    (business_id, scheduled_shift_id, employee_id, job_assignment_id, work_schedule_id,
     work_location_id, shift_date, starts_at, ends_at, unpaid_break_minutes, status, published_at)
SELECT x.business_id, md5('shift ' || x.day || x.job_assignment_id)::uuid, x.employee_id,
       x.job_assignment_id, x.work_schedule_id, x.work_location_id, x.day, x.starts_at, x.ends_at,
       x.break_minutes,
       CASE WHEN x.day > %(as_of)s::date + 14 THEN 'draft'
            WHEN x.ends_at > %(as_of)s THEN CASE WHEN x.place %% 3 = 0 THEN 'confirmed'
                                                 ELSE 'published' END
            WHEN x.place %% 60 = 7 THEN 'no_show' WHEN x.place %% 60 = 8 THEN 'cancelled'
            ELSE 'worked' END,
       CASE WHEN x.day <= %(as_of)s::date + 14
            THEN (date_trunc('week', x.day::timestamp)::date - 14 + x.place %% 4)::timestamp
                 AT TIME ZONE 'UTC' + interval '16 hours' END
FROM (
    SELECT a.business_id, a.employee_id, a.job_assignment_id, a.work_schedule_id,
           a.work_location_id, c.day, coalesce(d.break_minutes, 0) AS break_minutes,
           (c.day + d.starts_at) AT TIME ZONE l.time_zone AS starts_at,
           (c.day + d.ends_at + CASE WHEN d.ends_at < d.starts_at THEN interval '1 day'
                                     ELSE interval '0' END) AT TIME ZONE l.time_zone AS ends_at,
           abs(hashtextextended('shift ' || c.day || a.job_assignment_id, 0) %% 1000)::integer
               AS place
    FROM payroll.job_assignment AS a
    JOIN payroll.work_schedule AS s
        ON s.business_id = a.business_id AND s.work_schedule_id = a.work_schedule_id
    JOIN payroll.work_location AS l
        ON l.business_id = a.business_id AND l.work_location_id = a.work_location_id
    CROSS JOIN LATERAL (
        SELECT %(as_of)s::date + n.number AS day
        FROM generate_series(-154, 20) AS n (number)
    ) AS c
    JOIN JSON_TABLE(s.pattern::jsonb, '$[*]' COLUMNS (
             day           integer PATH '$.day',
             starts_at     time    PATH '$.start',
             ends_at       time    PATH '$.end',
             break_minutes integer PATH '$.break')) AS d
        ON d.day = 1 + (c.day - s.cycle_starts_on) %% s.cycle_days
    WHERE a.business_id = %(business_id)s AND a.is_primary
      AND daterange(a.effective_from, a.effective_until) @> c.day
) AS x
WHERE NOT EXISTS (
    SELECT
    FROM payroll.time_off_request AS r
    WHERE r.business_id = x.business_id AND r.employee_id = x.employee_id
      AND r.status IN ('approved', 'taken', 'partly_taken')
      AND x.day BETWEEN r.starts_on AND r.ends_on)
ORDER BY x.job_assignment_id, x.day;

-- Punches of a shift: in, the meal in its middle, out. Six in a hundred come late, five leave
-- early, some stay on; three in a hundred forget the last one, which the supervisor adds.
INSERT INTO payroll.clock_punch
    (business_id, clock_punch_id, employee_id, time_clock_id, punched_at, punch_kind, recorded_at,
     source, latitude, longitude, accuracy_m, inside_geofence, edit_reason)
SELECT p.business_id, md5('punch ' || k.kind || p.scheduled_shift_id)::uuid, p.employee_id,
       CASE WHEN k.is_added THEN NULL ELSE c.time_clock_id END, k.moment, k.kind,
       CASE WHEN k.is_added THEN k.moment + interval '14 hours'
            ELSE k.moment + interval '2 seconds' END,
       CASE WHEN k.is_added THEN 'supervisor' WHEN c.clock_kind = 'kiosk' THEN 'kiosk'
            ELSE 'mobile' END,
       CASE WHEN c.clock_kind = 'mobile_app' AND NOT k.is_added THEN k.latitude END,
       CASE WHEN c.clock_kind = 'mobile_app' AND NOT k.is_added THEN c.longitude END,
       CASE WHEN c.clock_kind = 'mobile_app' AND NOT k.is_added THEN 12 END,
       CASE WHEN c.clock_kind = 'mobile_app' AND NOT k.is_added
            THEN k.latitude - c.latitude < 0.001 END,
       CASE WHEN k.is_added THEN 'Forgot to clock out; hours confirmed by the employee' END
FROM (
    SELECT s.*, n.place, n.other,
           s.starts_at + CASE WHEN n.place %% 100 < 6
                              THEN (6 + n.place / 100 * 3) * interval '1 minute'
                              ELSE n.place %% 5 * interval '1 minute' END
                       + n.other %% 50 * interval '1 second' AS came_at,
           s.ends_at + CASE WHEN n.other %% 100 < 5 THEN - (7 + n.place %% 30) * interval '1 minute'
                            WHEN n.other %% 100 < 9
                            THEN (35 + n.place %% 90) * interval '1 minute'
                            ELSE (n.other %% 6 - 5) * interval '1 minute' END
                     + n.place %% 50 * interval '1 second' AS left_at
    FROM payroll.scheduled_shift AS s
    JOIN payroll.job_assignment AS a
        ON a.business_id = s.business_id AND a.job_assignment_id = s.job_assignment_id
    JOIN payroll.job_profile AS j
        ON j.business_id = a.business_id AND j.job_profile_id = a.job_profile_id
       AND j.flsa_status = 'nonexempt'
    CROSS JOIN LATERAL (
        SELECT abs(hashtextextended('came ' || s.scheduled_shift_id, 0) %% 1000)::integer AS place,
               abs(hashtextextended('left ' || s.scheduled_shift_id, 0) %% 1000)::integer AS other
    ) AS n
    WHERE s.business_id = %(business_id)s AND s.status = 'worked'
) AS p
JOIN payroll.time_clock AS c
    ON c.business_id = p.business_id AND c.work_location_id = p.work_location_id
   AND c.clock_kind = CASE WHEN abs(hashtextextended('app ' || p.employee_id, 0) %% 3) = 0
                           THEN 'mobile_app' ELSE 'kiosk' END
CROSS JOIN LATERAL (
    SELECT v.kind, v.moment,
           v.kind = 'out' AND p.place %% 33 = 5 AND p.shift_date < %(as_of)s::date - 3 AS is_added,
           c.latitude + CASE WHEN v.kind = 'in' AND p.other %% 90 = 3 THEN 0.004 ELSE 0.0003 END
               AS latitude
    FROM (VALUES
        ('in', p.came_at),
        ('meal_start', CASE WHEN p.unpaid_break_minutes > 0
                            THEN p.starts_at + (p.ends_at - p.starts_at) / 2
                                 + (p.other %% 40 - 25) * interval '1 minute' END),
        ('meal_end', CASE WHEN p.unpaid_break_minutes > 0
                          THEN p.starts_at + (p.ends_at - p.starts_at) / 2
                               + (p.other %% 40 - 25
                                  + CASE WHEN p.place %% 50 = 11 THEN 22 ELSE 30 END)
                                 * interval '1 minute' END),
        ('out', p.left_at)
    ) AS v (kind, moment)
    WHERE v.moment IS NOT NULL
      -- What was forgotten in the last days is still missing.
      AND NOT (v.kind = 'out' AND p.place %% 33 = 5 AND p.shift_date >= %(as_of)s::date - 3)
) AS k
WHERE k.moment < %(as_of)s
ORDER BY k.moment, p.employee_id;

-- A sheet for each hourly employee and pay period of five months: locked when it was paid.
INSERT INTO payroll.timesheet
    (business_id, timesheet_id, employee_id, pay_period_id, approved_by, status, submitted_at,
     approved_at, employee_attested, attestation_answer, rejection_reason)
SELECT t.business_id, md5('sheet ' || t.pay_period_id || t.employee_id)::uuid, t.employee_id,
       t.pay_period_id,
       CASE WHEN t.status IN ('approved', 'locked', 'amended') THEN u.user_account_id END,
       t.status,
       CASE WHEN t.status <> 'open'
            THEN (t.ends_on + 1)::timestamp AT TIME ZONE 'UTC'
                 + interval '13 hours' + t.place * interval '2 minutes' END,
       CASE WHEN t.status IN ('approved', 'locked', 'amended')
            THEN (t.ends_on + 1)::timestamp AT TIME ZONE 'UTC'
                 + interval '18 hours' + t.place * interval '1 minute' END,
       t.status <> 'open',
       CASE WHEN t.status <> 'open' THEN 'I took all of my meals and rests' END,
       CASE WHEN t.status = 'rejected' THEN 'Hours on Friday do not match the schedule' END
FROM (
    SELECT e.business_id, e.employee_id, d.pay_period_id, d.ends_on, n.place,
           CASE WHEN d.ends_on >= %(as_of)s::date - 1 THEN 'open'
                WHEN d.ends_on >= %(as_of)s::date - 3
                THEN CASE WHEN n.place < 20 THEN 'open' WHEN n.place < 60 THEN 'submitted'
                          WHEN n.place < 66 THEN 'rejected' ELSE 'approved' END
                WHEN d.check_date >= %(as_of)s::date THEN 'approved'
                WHEN n.place = 7 THEN 'amended' ELSE 'locked' END AS status
    FROM payroll.employee AS e
    JOIN payroll.job_assignment AS a
        ON a.business_id = e.business_id AND a.employee_id = e.employee_id AND a.is_primary
    JOIN payroll.job_profile AS j
        ON j.business_id = a.business_id AND j.job_profile_id = a.job_profile_id
       AND j.flsa_status = 'nonexempt'
    -- Of several schedules of an employer the one for hourly staff, else the most frequent.
    JOIN LATERAL (
        SELECT c.pay_schedule_id
        FROM payroll.pay_schedule AS c
        WHERE c.business_id = e.business_id AND c.employer_entity_id = e.employer_entity_id
          AND c.is_active AND coalesce(to_jsonb(c) ->> 'pay_group', 'hourly') <> 'salaried'
        ORDER BY array_position(ARRAY['weekly', 'biweekly', 'semimonthly', 'monthly',
                                      'quarterly'], c.frequency), c.code
        LIMIT 1
    ) AS s ON true
    JOIN payroll.pay_period AS d
        ON d.business_id = e.business_id AND d.pay_schedule_id = s.pay_schedule_id
       AND d.starts_on >= %(as_of)s::date - 154 AND d.starts_on <= %(as_of)s::date
       AND d.ends_on - d.starts_on BETWEEN 6 AND 30
       AND daterange(a.effective_from, a.effective_until)
           && daterange(d.starts_on, d.ends_on, '[]')
    CROSS JOIN LATERAL (
        SELECT abs(hashtextextended('sheet ' || d.pay_period_id || e.employee_id, 0)
                   %% 100)::integer AS place
    ) AS n
    WHERE e.business_id = %(business_id)s
) AS t
LEFT JOIN LATERAL (
    SELECT y.user_account_id
    FROM user_mgmt.user_account AS y
    JOIN payroll.employee AS m
        ON m.business_id = y.business_id AND m.employee_id = t.employee_id
       AND m.user_account_id IS DISTINCT FROM y.user_account_id
    WHERE y.business_id = t.business_id AND y.account_kind = 'staff' AND y.status = 'active'
    ORDER BY y.user_account_id
    LIMIT 1
) AS u ON true
ORDER BY t.ends_on, t.employee_id;
SET LOCAL enable_nestloop = on;

-- Work in pieces of one day, each with the best premium that is due for it.
CREATE TEMPORARY TABLE segment ON COMMIT DROP AS
SELECT w.timesheet_id, w.starts_on, w.ends_on, w.week_from, w.work_location_id, s.*,
       sum(s.hours) OVER (PARTITION BY w.timesheet_id, s.work_date ORDER BY s.started_at)
       - s.hours AS low,
       sum(s.hours) OVER (PARTITION BY w.timesheet_id, s.work_date ORDER BY s.started_at) AS high
FROM (
    SELECT t.timesheet_id, t.employee_id, d.starts_on, d.ends_on, w.day::date AS week_from,
           a.work_location_id
    FROM payroll.timesheet AS t
    JOIN payroll.pay_period AS d
        ON d.business_id = t.business_id AND d.pay_period_id = t.pay_period_id
    JOIN payroll.job_assignment AS a
        ON a.business_id = t.business_id AND a.employee_id = t.employee_id AND a.is_primary
    CROSS JOIN generate_series(payroll.week_start(d.starts_on, 'sunday')::timestamp,
                               d.ends_on::timestamp, '7 days') AS w (day)
    WHERE t.business_id = %(business_id)s
) AS w
CROSS JOIN LATERAL payroll.work_segments(w.employee_id, w.week_from, w.week_from + 6) AS s;
ANALYZE segment;

-- Hours: each workweek divided by the rule that is better for the employee, as build_timesheet
-- does it one by one.
WITH divided AS MATERIALIZED (
    SELECT h.timesheet_id, h.week_from, r.overtime_rule_id, x.day_no, x.regular, x.overtime,
           x.doubletime
    FROM (
        SELECT g.timesheet_id, g.week_from, g.work_location_id,
               array_agg(coalesce(g.hours, 0) ORDER BY g.day_no) AS hours
        FROM (
            SELECT k.timesheet_id, k.week_from, k.work_location_id, n.day_no,
                   sum(s.hours) AS hours
            FROM (SELECT DISTINCT s.timesheet_id, s.week_from, s.work_location_id
                  FROM segment AS s) AS k
            CROSS JOIN generate_series(0, 6) AS n (day_no)
            LEFT JOIN segment AS s
                ON s.timesheet_id = k.timesheet_id AND s.work_date = k.week_from + n.day_no
            GROUP BY k.timesheet_id, k.week_from, k.work_location_id, n.day_no
        ) AS g
        GROUP BY g.timesheet_id, g.week_from, g.work_location_id
    ) AS h
    CROSS JOIN LATERAL payroll.better_overtime_rule(h.work_location_id, h.week_from, h.hours)
        AS b (rule)
    JOIN payroll.overtime_rule AS r
        ON r.business_id = %(business_id)s AND r.overtime_rule_id = b.rule
    CROSS JOIN LATERAL payroll.split_week(
        h.hours, r.daily_overtime_after_hours, r.daily_doubletime_after_hours,
        r.weekly_overtime_after_hours, r.seventh_day_rule) AS x
), code AS MATERIALIZED (
    SELECT k.kind, payroll.earning_code_for(k.kind) AS earning_code_id
    FROM (VALUES ('regular'), ('overtime'), ('doubletime')) AS k (kind)
), part AS (
    SELECT s.*, v.overtime_rule_id, k.kind, k.low AS kind_low,
           greatest(s.low, k.low) AS part_low, least(s.high, k.high) AS part_high
    FROM segment AS s
    JOIN divided AS v
        ON v.timesheet_id = s.timesheet_id AND v.week_from + v.day_no - 1 = s.work_date
    CROSS JOIN LATERAL (VALUES
        ('regular', 0::numeric, v.regular),
        ('overtime', v.regular, v.regular + v.overtime),
        ('doubletime', v.regular + v.overtime, v.regular + v.overtime + v.doubletime)
    ) AS k (kind, low, high)
    WHERE greatest(s.low, k.low) < least(s.high, k.high)
      AND s.work_date BETWEEN s.starts_on AND s.ends_on
)
INSERT INTO payroll.timesheet_entry
    (business_id, timesheet_entry_id, timesheet_id, job_assignment_id, earning_code_id,
     department_id, overtime_rule_id, work_date, started_at, ended_at, hours, entry_kind,
     in_punch_key, out_punch_key)
SELECT %(business_id)s, md5('entry ' || p.kind || p.started_at || p.timesheet_id)::uuid,
       p.timesheet_id, p.job_assignment_id, c.earning_code_id, p.department_id,
       p.overtime_rule_id, p.work_date, p.started_at + (p.part_low - p.low) * interval '1 hour',
       CASE WHEN p.part_high = p.high THEN p.ended_at
            ELSE p.started_at + (p.part_high - p.low) * interval '1 hour' END,
       p.part_high - p.part_low, p.kind, p.in_punch, p.out_punch
FROM part AS p
JOIN code AS c ON c.kind = p.kind
ORDER BY p.timesheet_id, p.started_at, p.part_low;

-- Premiums of nights and holidays stand beside the hours that they are for.
INSERT INTO payroll.timesheet_entry
    (business_id, timesheet_entry_id, timesheet_id, job_assignment_id, earning_code_id,
     work_date, started_at, ended_at, hours, entry_kind, rate_override_amount)
SELECT %(business_id)s, md5('premium ' || s.started_at || s.timesheet_id)::uuid, s.timesheet_id,
       s.job_assignment_id, r.earning_code_id, s.work_date, s.started_at, s.ended_at, s.hours,
       'regular', s.premium_rate
FROM segment AS s
JOIN payroll.pay_premium_rule AS r
    ON r.business_id = %(business_id)s AND r.pay_premium_rule_id = s.pay_premium_rule_id
WHERE s.work_date BETWEEN s.starts_on AND s.ends_on
ORDER BY s.timesheet_id, s.started_at;

-- Meals that were missed or short are told everywhere, and paid for in California.
INSERT INTO payroll.attendance_exception
    (business_id, attendance_exception_id, employee_id, timesheet_id, exception_date, kind,
     minutes, detected_at)
SELECT %(business_id)s, md5('meal ' || m.shift_day || t.employee_id)::uuid, t.employee_id,
       t.timesheet_id, m.shift_day, m.kind, m.minutes,
       (m.shift_day + 1)::timestamp AT TIME ZONE 'UTC' + interval '12 hours'
FROM payroll.timesheet AS t
JOIN payroll.pay_period AS d
    ON d.business_id = t.business_id AND d.pay_period_id = t.pay_period_id
CROSS JOIN LATERAL (
    SELECT DISTINCT e.overtime_rule_id
    FROM payroll.timesheet_entry AS e
    WHERE e.business_id = t.business_id AND e.timesheet_id = t.timesheet_id
      AND e.overtime_rule_id IS NOT NULL
) AS e
CROSS JOIN LATERAL payroll.missed_meals(t.employee_id, d.starts_on, d.ends_on, e.overtime_rule_id)
    AS m
WHERE t.business_id = %(business_id)s AND m.shift_day < %(as_of)s::date - 1
ON CONFLICT DO NOTHING;

INSERT INTO payroll.timesheet_entry
    (business_id, timesheet_entry_id, timesheet_id, job_assignment_id, earning_code_id,
     overtime_rule_id, work_date, hours, entry_kind)
SELECT x.business_id, md5('penalty ' || x.attendance_exception_id)::uuid, x.timesheet_id,
       e.job_assignment_id, payroll.earning_code_for('meal_penalty'), r.overtime_rule_id,
       x.exception_date, r.meal_penalty_hours, 'meal_penalty'
FROM payroll.attendance_exception AS x
JOIN LATERAL (
    SELECT y.job_assignment_id, y.overtime_rule_id
    FROM payroll.timesheet_entry AS y
    WHERE y.business_id = x.business_id AND y.timesheet_id = x.timesheet_id
      AND y.work_date = x.exception_date AND y.overtime_rule_id IS NOT NULL
    ORDER BY y.started_at
    LIMIT 1
) AS e ON true
JOIN payroll.overtime_rule AS r
    ON r.business_id = x.business_id AND r.overtime_rule_id = e.overtime_rule_id
   AND r.meal_penalty_hours > 0
WHERE x.business_id = %(business_id)s AND x.kind IN ('missed_meal', 'short_meal');

-- Days off are paid by the code of their plan.
INSERT INTO payroll.timesheet_entry
    (business_id, timesheet_entry_id, timesheet_id, job_assignment_id, earning_code_id,
     work_date, hours, entry_kind)
SELECT r.business_id, md5('off ' || o.day || r.time_off_request_id)::uuid, t.timesheet_id,
       a.job_assignment_id, p.earning_code_id, o.day, o.hours, 'pto'
FROM payroll.time_off_request AS r
JOIN payroll.time_off_policy AS p
    ON p.business_id = r.business_id AND p.time_off_policy_id = r.time_off_policy_id
JOIN payroll.timesheet AS t ON t.business_id = r.business_id AND t.employee_id = r.employee_id
JOIN payroll.pay_period AS d
    ON d.business_id = t.business_id AND d.pay_period_id = t.pay_period_id
   AND r.starts_on <= d.ends_on AND r.ends_on >= d.starts_on
JOIN payroll.job_assignment AS a
    ON a.business_id = r.business_id AND a.employee_id = r.employee_id AND a.is_primary
CROSS JOIN LATERAL payroll.time_off_days(r.time_off_request_id) AS o (day, hours)
WHERE r.business_id = %(business_id)s AND r.status IN ('approved', 'taken', 'partly_taken')
  AND o.day BETWEEN d.starts_on AND d.ends_on
ORDER BY o.day, r.time_off_request_id;

-- What did not go as planned; most was excused, some was not and counts.
INSERT INTO payroll.attendance_exception
    (business_id, attendance_exception_id, employee_id, timesheet_id, scheduled_shift_id,
     exception_date, kind, minutes, detected_at)
SELECT t.business_id, md5('found ' || f.kind || f.exception_date || t.employee_id)::uuid,
       t.employee_id, t.timesheet_id, f.scheduled_shift_id, f.exception_date, f.kind, f.minutes,
       (f.exception_date + 1)::timestamp AT TIME ZONE 'UTC' + interval '12 hours'
FROM payroll.timesheet AS t
JOIN payroll.pay_period AS d
    ON d.business_id = t.business_id AND d.pay_period_id = t.pay_period_id
CROSS JOIN LATERAL payroll.attendance_findings(t.employee_id, d.starts_on, d.ends_on, %(as_of)s)
    AS f
WHERE t.business_id = %(business_id)s AND f.exception_date < %(as_of)s::date - 1
ON CONFLICT DO NOTHING;

SET LOCAL enable_nestloop = off;
INSERT INTO payroll.attendance_exception
    (business_id, attendance_exception_id, employee_id, timesheet_id, exception_date, kind,
     minutes, detected_at)
SELECT x.business_id, md5('overtime ' || x.work_date || x.timesheet_id)::uuid, x.employee_id,
       x.timesheet_id, x.work_date, 'unapproved_overtime', floor(60 * x.overtime),
       (x.work_date + 1)::timestamp AT TIME ZONE 'UTC' + interval '12 hours'
FROM (
    SELECT t.business_id, t.employee_id, t.timesheet_id, e.work_date, sum(e.hours) AS overtime
    FROM payroll.timesheet AS t
    JOIN payroll.timesheet_entry AS e
        ON e.business_id = t.business_id AND e.timesheet_id = t.timesheet_id
       AND e.entry_kind IN ('overtime', 'doubletime')
    WHERE t.business_id = %(business_id)s AND e.work_date < %(as_of)s::date - 1
    GROUP BY t.business_id, t.employee_id, t.timesheet_id, e.work_date
) AS x
WHERE x.overtime > 0.5;
SET LOCAL enable_nestloop = on;

INSERT INTO payroll.attendance_exception
    (business_id, attendance_exception_id, employee_id, timesheet_id, exception_date, kind,
     detected_at)
SELECT p.business_id, md5('fence ' || p.clock_punch_id)::uuid, p.employee_id, t.timesheet_id,
       (p.punched_at AT TIME ZONE l.time_zone)::date, 'outside_geofence', p.punched_at
FROM payroll.clock_punch AS p
JOIN payroll.time_clock AS c
    ON c.business_id = p.business_id AND c.time_clock_id = p.time_clock_id
JOIN payroll.work_location AS l
    ON l.business_id = c.business_id AND l.work_location_id = c.work_location_id
LEFT JOIN LATERAL (
    SELECT x.timesheet_id
    FROM payroll.timesheet AS x
    JOIN payroll.pay_period AS d
        ON d.business_id = x.business_id AND d.pay_period_id = x.pay_period_id
    WHERE x.business_id = p.business_id AND x.employee_id = p.employee_id
      AND (p.punched_at AT TIME ZONE l.time_zone)::date BETWEEN d.starts_on AND d.ends_on
    ORDER BY x.timesheet_id
    LIMIT 1
) AS t ON true
WHERE p.business_id = %(business_id)s AND NOT p.inside_geofence
ON CONFLICT DO NOTHING;

UPDATE payroll.attendance_exception AS x
SET status = n.status,
    resolved_at = CASE WHEN n.status <> 'open' THEN x.detected_at + interval '9 hours' END,
    resolved_by = CASE WHEN n.status <> 'open' THEN t.approved_by END,
    points = CASE WHEN n.status = 'unexcused'
                  THEN CASE x.kind WHEN 'no_show' THEN 2 WHEN 'late_in' THEN 0.5
                                   WHEN 'early_out' THEN 0.5 ELSE 0 END ELSE 0 END,
    resolution_note = CASE n.status WHEN 'excused' THEN 'Talked it over; no further action'
                                    WHEN 'corrected' THEN 'Hours confirmed and corrected' END,
    employee_comment = CASE WHEN n.place %% 7 = 0 THEN 'Train was late' END
FROM payroll.attendance_exception AS y
JOIN payroll.timesheet AS t
    ON t.business_id = y.business_id AND t.timesheet_id = y.timesheet_id
CROSS JOIN LATERAL (
    SELECT v.place,
           CASE WHEN t.status IN ('open', 'submitted', 'rejected') THEN 'open'
                WHEN y.kind = 'missing_punch' THEN 'corrected'
                WHEN v.place < 55 THEN 'excused' WHEN v.place < 90 THEN 'unexcused'
                ELSE 'corrected' END AS status
    FROM (
        SELECT abs(hashtextextended('settled ' || y.attendance_exception_id, 0)
                   %% 100)::integer AS place
    ) AS v
) AS n
WHERE x.business_id = %(business_id)s AND y.business_id = x.business_id
  AND y.attendance_exception_id = x.attendance_exception_id;

-- The ledger: what the former system handed over, what each period earned, what was taken.
INSERT INTO payroll.time_off_ledger_entry
    (business_id, time_off_ledger_entry_id, time_off_enrollment_id, time_off_request_id,
     entry_date, entry_no, entry_kind, hours, balance_after_hours, pay_period_key, reason,
     posted_at, posted_by_job)
SELECT %(business_id)s, md5('ledger ' || l.key || l.time_off_enrollment_id)::uuid,
       l.time_off_enrollment_id, l.time_off_request_id, l.entry_date,
       row_number() OVER line, l.entry_kind, l.hours, sum(l.hours) OVER line, l.pay_period_id,
       l.reason, l.entry_date::timestamp AT TIME ZONE 'UTC' + interval '30 hours', l.job
FROM (
    SELECT e.time_off_enrollment_id, 'opening' AS key, NULL::uuid AS time_off_request_id,
           greatest(e.enrolled_on, %(as_of)s::date - 150) AS entry_date,
           'carryover' AS entry_kind, NULL::uuid AS pay_period_id,
           CASE p.code WHEN 'VAC' THEN 64 WHEN 'SICK' THEN 24 ELSE 16 END::numeric AS hours,
           'Balance of the former system' AS reason, 'cutover' AS job
    FROM payroll.time_off_enrollment AS e
    JOIN payroll.time_off_policy AS p
        ON p.business_id = e.business_id AND p.time_off_policy_id = e.time_off_policy_id
    WHERE e.business_id = %(business_id)s AND p.code IN ('VAC', 'SICK', 'FLOAT')
      AND e.enrolled_on < %(as_of)s::date - 160
      AND coalesce(e.ended_on > %(as_of)s::date - 150, true)
    UNION ALL
    SELECT e.time_off_enrollment_id, 'earned ' || d.pay_period_id, NULL,
           least(d.ends_on, e.ended_on), 'accrual', d.pay_period_id, h.hours, NULL,
           'post_accruals'
    FROM payroll.time_off_enrollment AS e
    JOIN payroll.time_off_policy AS p
        ON p.business_id = e.business_id AND p.time_off_policy_id = e.time_off_policy_id
    JOIN payroll.employee AS m
        ON m.business_id = e.business_id AND m.employee_id = e.employee_id
    JOIN payroll.job_assignment AS a
        ON a.business_id = e.business_id AND a.employee_id = e.employee_id AND a.is_primary
    JOIN payroll.job_profile AS j
        ON j.business_id = a.business_id AND j.job_profile_id = a.job_profile_id
    JOIN LATERAL (
        SELECT c.pay_schedule_id
        FROM payroll.pay_schedule AS c
        WHERE c.business_id = m.business_id AND c.employer_entity_id = m.employer_entity_id
          AND c.is_active
          AND coalesce(to_jsonb(c) ->> 'pay_group', 'everybody')
              <> CASE j.flsa_status WHEN 'exempt' THEN 'hourly' ELSE 'salaried' END
        ORDER BY array_position(ARRAY['weekly', 'biweekly', 'semimonthly', 'monthly',
                                      'quarterly'], c.frequency), c.code
        LIMIT 1
    ) AS s ON true
    JOIN payroll.pay_period AS d
        ON d.business_id = e.business_id AND d.pay_schedule_id = s.pay_schedule_id
       AND d.ends_on < %(as_of)s::date AND d.ends_on > %(as_of)s::date - 150
       AND e.enrolled_on <= d.ends_on AND coalesce(e.ended_on >= d.starts_on, true)
    LEFT JOIN payroll.timesheet AS t
        ON t.business_id = e.business_id AND t.employee_id = e.employee_id
       AND t.pay_period_id = d.pay_period_id AND t.status IN ('approved', 'locked', 'amended')
    LEFT JOIN payroll.accrual_tier AS y
        ON y.business_id = p.business_id AND y.time_off_policy_id = p.time_off_policy_id
       AND int4range(y.from_service_months, y.to_service_months)
           @> payroll.service_months(e.employee_id, least(d.ends_on, e.ended_on))
    CROSS JOIN LATERAL (
        SELECT round(CASE p.code WHEN 'VAC' THEN y.hours_per_year * (d.ends_on - d.starts_on + 1)
                                                 / 365
                                 WHEN 'SICK' THEN p.accrual_per_hour_rate
                                                  * CASE j.flsa_status WHEN 'exempt'
                                                    THEN a.standard_hours_weekly
                                                         * (d.ends_on - d.starts_on + 1) / 7
                                                    ELSE t.regular_hours + t.overtime_hours
                                                         + t.doubletime_hours END END, 4) AS hours
    ) AS h
    WHERE e.business_id = %(business_id)s AND h.hours > 0
    UNION ALL
    SELECT e.time_off_enrollment_id, 'taken ' || r.time_off_request_id, r.time_off_request_id,
           r.ends_on, 'use', NULL, - r.taken_hours, NULL, NULL
    FROM payroll.time_off_request AS r
    JOIN payroll.time_off_enrollment AS e
        ON e.business_id = r.business_id AND e.employee_id = r.employee_id
       AND e.time_off_policy_id = r.time_off_policy_id
       AND daterange(e.enrolled_on, e.ended_on, '[]') @> r.starts_on
    WHERE r.business_id = %(business_id)s AND r.status IN ('taken', 'partly_taken')
    UNION ALL
    SELECT e.time_off_enrollment_id, 'mistake ' || v.number, NULL, %(as_of)s::date - 40 + v.number,
           CASE v.number WHEN 1 THEN 'adjustment' ELSE 'reversal' END, NULL,
           CASE v.number WHEN 1 THEN 8 ELSE -8 END,
           CASE v.number WHEN 1 THEN 'Bonus day of the holiday raffle'
                         ELSE 'Credited to the wrong employee' END, NULL
    FROM payroll.time_off_enrollment AS e
    JOIN payroll.time_off_policy AS p
        ON p.business_id = e.business_id AND p.time_off_policy_id = e.time_off_policy_id
       AND p.code = 'VAC'
    CROSS JOIN (VALUES (1), (2)) AS v (number)
    WHERE e.business_id = %(business_id)s AND e.ended_on IS NULL
      AND e.enrolled_on < %(as_of)s::date - 60
      AND abs(hashtextextended('mistake ' || e.time_off_enrollment_id, 0) %% 12) = 0
) AS l
WINDOW line AS (PARTITION BY l.time_off_enrollment_id
                ORDER BY l.entry_date, l.hours DESC, l.key)
ORDER BY l.entry_date, l.time_off_enrollment_id;

UPDATE payroll.time_off_ledger_entry AS l
SET is_reversed = true
WHERE l.business_id = %(business_id)s AND l.entry_kind = 'adjustment';

UPDATE payroll.time_off_enrollment AS e
SET balance_hours = s.balance,
    entry_count = s.entries,
    accrued_ytd_hours = s.accrued,
    used_ytd_hours = s.used,
    carryover_hours = s.opening,
    last_posted_on = s.last_posted_on,
    next_tier_on = CASE WHEN n.months_to_next IS NOT NULL
                        THEN (s.last_posted_on
                              + make_interval(months => n.months_to_next))::date END
FROM (
    SELECT l.time_off_enrollment_id, sum(l.hours) AS balance, count(*) AS entries,
           max(l.entry_date) AS last_posted_on,
           coalesce(sum(l.hours) FILTER (WHERE l.entry_kind = 'carryover'), 0) AS opening,
           coalesce(sum(l.hours) FILTER (
               WHERE l.entry_kind = 'accrual' AND l.entry_date >= date_trunc('year', m.last_on)),
               0) AS accrued,
           - coalesce(sum(l.hours) FILTER (
               WHERE l.entry_kind = 'use' AND l.entry_date >= date_trunc('year', m.last_on)), 0)
               AS used
    FROM payroll.time_off_ledger_entry AS l
    CROSS JOIN LATERAL (
        SELECT max(x.entry_date)::timestamp AS last_on
        FROM payroll.time_off_ledger_entry AS x
        WHERE x.business_id = l.business_id
          AND x.time_off_enrollment_id = l.time_off_enrollment_id
    ) AS m
    WHERE l.business_id = %(business_id)s
    GROUP BY l.time_off_enrollment_id
) AS s
JOIN payroll.time_off_enrollment AS o
    ON o.business_id = %(business_id)s AND o.time_off_enrollment_id = s.time_off_enrollment_id
LEFT JOIN LATERAL (
    SELECT min(t.from_service_months) - v.months AS months_to_next
    FROM payroll.service_months(o.employee_id, s.last_posted_on) AS v (months)
    JOIN payroll.accrual_tier AS t
        ON t.business_id = o.business_id AND t.time_off_policy_id = o.time_off_policy_id
       AND t.from_service_months > v.months
    GROUP BY v.months
) AS n ON true
WHERE e.business_id = %(business_id)s AND e.time_off_enrollment_id = s.time_off_enrollment_id;

UPDATE payroll.time_off_enrollment AS e
SET pending_hours = r.hours
FROM (
    SELECT x.time_off_enrollment_id, sum(y.hours_requested) AS hours
    FROM payroll.time_off_request AS y
    JOIN payroll.time_off_enrollment AS x
        ON x.business_id = y.business_id AND x.employee_id = y.employee_id
       AND x.time_off_policy_id = y.time_off_policy_id
       AND daterange(x.enrolled_on, x.ended_on, '[]') @> y.starts_on
    WHERE y.business_id = %(business_id)s AND y.status IN ('submitted', 'approved')
    GROUP BY x.time_off_enrollment_id
) AS r
WHERE e.business_id = %(business_id)s AND e.time_off_enrollment_id = r.time_off_enrollment_id;

UPDATE payroll.time_off_request AS r
SET balance_at_request_hours = coalesce((
    SELECT l.balance_after_hours
    FROM payroll.time_off_ledger_entry AS l
    WHERE l.business_id = e.business_id AND l.time_off_enrollment_id = e.time_off_enrollment_id
      AND l.entry_date <= r.submitted_at::date
    ORDER BY l.entry_no DESC
    LIMIT 1), 0)
FROM payroll.time_off_enrollment AS e
WHERE r.business_id = %(business_id)s AND r.submitted_at IS NOT NULL
  AND e.business_id = r.business_id AND e.employee_id = r.employee_id
  AND e.time_off_policy_id = r.time_off_policy_id
  AND daterange(e.enrolled_on, e.ended_on, '[]') @> r.starts_on;
