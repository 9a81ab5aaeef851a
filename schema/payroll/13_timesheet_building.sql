/*
 * Building a timesheet: from blocks of work to pay.
 *
 * work_segments() cuts the blocks of work_blocks() into pieces of one day and at most one premium;
 * build_timesheet() divides the days of each workweek into regular time, overtime and double time
 * (better_overtime_rule, split_week), adds what a missed meal, a call-back, a holiday and approved
 * time off bring, and tells the supervisor what did not go as planned. Last stand what people look
 * at: who is working now, and the habits of a quarter.
 */

CREATE FUNCTION payroll.week_start(day date, workweek_starts_on text) RETURNS date
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN day - (extract(dow FROM day)::integer
                  - CASE workweek_starts_on WHEN 'monday' THEN 1 WHEN 'saturday' THEN 6 ELSE 0 END
                  + 7) % 7;
COMMENT ON FUNCTION payroll.week_start(date, text) IS
    'The first day of the workweek of a day. An employer fixes it once: overtime is counted by it.';

CREATE FUNCTION payroll.earning_code_for(kind text) RETURNS uuid
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    found uuid;
BEGIN
    SELECT e.earning_code_id INTO found
    FROM payroll.earning_code AS e
    WHERE e.business_id = tenant_mgmt.current_business_id() AND e.is_active
      AND e.earning_kind = CASE kind WHEN 'meal_penalty' THEN 'premium' ELSE kind END
    -- A code made for meals pays for meals; of the others the first by its code.
    ORDER BY (kind = 'meal_penalty' AND e.name ~* '\mmeal') DESC, e.code
    LIMIT 1;
    IF found IS NULL THEN
        RAISE EXCEPTION 'no active earning code pays %', kind
            USING ERRCODE = 'no_data_found', HINT = 'Add one to earning_code.';
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION payroll.earning_code_for(text) IS
    'The earning code of the calling tenant that pays a kind of hours.';

CREATE FUNCTION payroll.work_segments(employee uuid, first_day date, last_day date)
    RETURNS TABLE (work_date date, started_at timestamptz, ended_at timestamptz, hours numeric,
                   job_assignment_id uuid, department_id uuid, in_punch uuid, out_punch uuid,
                   pay_premium_rule_id uuid, premium_rate numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH block AS (
        SELECT b.*, a.job_profile_id,
               extract(epoch FROM b.started_at - lag(b.ended_at) OVER line) / 3600 AS gap_hours
        FROM payroll.work_blocks(work_segments.employee, first_day, last_day) AS b
        JOIN payroll.job_assignment AS a
            ON a.business_id = tenant_mgmt.current_business_id()
           AND a.job_assignment_id = b.job_assignment_id
        WINDOW line AS (PARTITION BY b.shift_day ORDER BY b.started_at)
    ), cut AS (
        -- A block ends at midnight of its place, and where the window of a premium begins or ends.
        SELECT b.in_punch, b.paid_from AS moment FROM block AS b
        UNION
        SELECT b.in_punch, b.paid_until FROM block AS b
        UNION
        SELECT b.in_punch, m.moment
        FROM block AS b
        CROSS JOIN generate_series(0, 1) AS n (days)
        LEFT JOIN payroll.pay_premium_rule AS r
            ON r.business_id = tenant_mgmt.current_business_id() AND r.window_start IS NOT NULL
        CROSS JOIN LATERAL (
            VALUES (time '00:00'), (r.window_start), (r.window_end)
        ) AS t (of_day)
        CROSS JOIN LATERAL (
            SELECT ((b.paid_from AT TIME ZONE b.time_zone)::date + n.days + t.of_day)
                   AT TIME ZONE b.time_zone AS moment
        ) AS m
        WHERE m.moment > b.paid_from AND m.moment < b.paid_until
    ), piece AS (
        SELECT b.*, c.moment AS piece_from,
               lead(c.moment) OVER (PARTITION BY c.in_punch ORDER BY c.moment) AS piece_until,
               (c.moment AT TIME ZONE b.time_zone) AS local_from
        FROM cut AS c
        JOIN block AS b ON b.in_punch = c.in_punch
    ), timed AS (
        SELECT p.*, p.local_from::date AS day,
               round(extract(epoch FROM p.piece_until - p.piece_from)::numeric / 3600, 4) AS length,
               max(p.gap_hours) OVER (PARTITION BY p.shift_day ORDER BY p.piece_from) AS split_gap
        FROM piece AS p
        WHERE p.piece_until > p.piece_from
    ), offered AS (
        SELECT t.in_punch, t.piece_from, r.pay_premium_rule_id, r.code,
               coalesce(r.amount_per_hour,
                        r.percent_of_rate / 100
                        * payroll.hourly_rate(t.job_assignment_id, t.day)) AS extra,
               r.premium_kind = 'split_shift'
               OR sum(t.length) OVER (PARTITION BY t.shift_day, r.pay_premium_rule_id)
                  >= r.minimum_hours AS is_due
        FROM timed AS t
        JOIN payroll.pay_premium_rule AS r
            ON r.business_id = tenant_mgmt.current_business_id() AND r.premium_kind <> 'call_back'
           AND daterange(r.effective_from, r.effective_until) @> t.day
           AND coalesce(r.work_location_id = t.work_location_id, true)
           AND coalesce(r.job_profile_id = t.job_profile_id, true)
        WHERE (r.window_start IS NULL
               OR r.window_start < r.window_end
                  AND t.local_from::time >= r.window_start AND t.local_from::time < r.window_end
               OR r.window_start > r.window_end
                  AND (t.local_from::time >= r.window_start OR t.local_from::time < r.window_end))
          AND (cardinality(r.weekdays) = 0
               OR (ARRAY['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday',
                         'sunday'])[extract(isodow FROM t.day)::integer] = ANY (r.weekdays))
          AND (r.premium_kind <> 'split_shift' OR t.split_gap > r.minimum_hours)
          AND (r.premium_kind <> 'holiday' OR EXISTS (
                   SELECT
                   FROM system_core.holiday AS h
                   JOIN system_core.holiday_calendar AS c
                       ON c.business_id = h.business_id
                      AND c.holiday_calendar_id = h.holiday_calendar_id AND c.is_default
                   WHERE h.business_id = tenant_mgmt.current_business_id()
                     AND h.holiday_date = t.day AND h.kind = 'public'))
    )
    SELECT t.day, t.piece_from, t.piece_until, t.length, t.job_assignment_id, t.department_id,
           t.in_punch, t.out_punch, best.pay_premium_rule_id, round(best.extra, 2)
    FROM timed AS t
    LEFT JOIN LATERAL (
        SELECT o.pay_premium_rule_id, o.extra
        FROM offered AS o
        WHERE o.in_punch = t.in_punch AND o.piece_from = t.piece_from AND o.is_due
          AND round(o.extra, 2) > 0
        ORDER BY o.extra DESC, o.code
        LIMIT 1
    ) AS best ON true
    WHERE t.day BETWEEN first_day AND last_day
    ORDER BY t.piece_from;
END;
COMMENT ON FUNCTION payroll.work_segments(uuid, date, date) IS
    'Paid work of an employee of the calling tenant in pieces of one day: cut at midnight and where
     a premium begins, each with the best premium that is due for it and what it adds to an hour.';


CREATE FUNCTION payroll.missed_meals(employee uuid, first_day date, last_day date, rule uuid)
    RETURNS TABLE (shift_day date, kind text, minutes integer)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH block AS (
        SELECT b.shift_day, extract(epoch FROM b.ended_at - b.started_at) / 3600 AS hours,
               extract(epoch FROM lead(b.started_at) OVER line - b.ended_at) / 60 AS gap_minutes,
               sum(extract(epoch FROM b.ended_at - b.started_at) / 3600) OVER line AS hours_before
        FROM payroll.work_blocks(missed_meals.employee, first_day, last_day) AS b
        WHERE b.shift_day BETWEEN first_day AND last_day
        WINDOW line AS (PARTITION BY b.shift_day ORDER BY b.started_at)
    ), day AS (
        SELECT b.shift_day, sum(b.hours) AS hours,
               -- The longest meal that began in time.
               coalesce(max(b.gap_minutes) FILTER (
                   WHERE b.hours_before <= r.meal_break_after_hours AND b.gap_minutes > 0), 0)
                   AS meal
        FROM block AS b
        JOIN payroll.overtime_rule AS r
            ON r.business_id = tenant_mgmt.current_business_id() AND r.overtime_rule_id = rule
        GROUP BY b.shift_day, r.meal_break_after_hours, r.meal_minimum_minutes
        HAVING sum(b.hours) > r.meal_break_after_hours
           AND coalesce(max(b.gap_minutes) FILTER (
                   WHERE b.hours_before <= r.meal_break_after_hours AND b.gap_minutes > 0), 0)
               < r.meal_minimum_minutes
    )
    SELECT d.shift_day, CASE WHEN d.meal > 0 THEN 'short_meal' ELSE 'missed_meal' END,
           floor(d.meal)::integer
    FROM day AS d;
END;
COMMENT ON FUNCTION payroll.missed_meals(uuid, date, date, uuid) IS
    'Days on which an employee of the calling tenant worked past the hour by which a rule wants a
     meal to have begun, without one that was long enough; with its minutes.';


CREATE FUNCTION payroll.attendance_findings(
    employee  uuid,
    first_day date,
    last_day  date,
    moment    timestamptz DEFAULT now()
) RETURNS TABLE (exception_date date, kind text, minutes integer, scheduled_shift_id uuid)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH block AS (
        SELECT b.*
        FROM payroll.work_blocks(attendance_findings.employee, first_day, last_day) AS b
    ), shift AS (
        SELECT s.scheduled_shift_id, s.shift_date, s.starts_at, s.ends_at, w.came_at, w.left_at,
               coalesce(c.late_grace_minutes, 0) AS late_grace,
               coalesce(c.early_grace_minutes, 0) AS early_grace
        FROM payroll.scheduled_shift AS s
        LEFT JOIN payroll.work_schedule AS c
            ON c.business_id = s.business_id AND c.work_schedule_id = s.work_schedule_id
        CROSS JOIN LATERAL (
            SELECT min(b.started_at) AS came_at, max(b.ended_at) AS left_at
            FROM block AS b
            WHERE tstzrange(b.started_at, b.ended_at) && tstzrange(s.starts_at, s.ends_at)
        ) AS w
        WHERE s.business_id = tenant_mgmt.current_business_id()
          AND s.employee_id = attendance_findings.employee
          AND s.shift_date BETWEEN first_day AND last_day
          AND s.status NOT IN ('draft', 'cancelled', 'swapped') AND s.ends_at <= moment
    ), punch AS (
        SELECT p.clock_punch_id, p.punch_kind, (p.punched_at AT TIME ZONE l.time_zone)::date AS day,
               -- Who came in within the last day may still be there.
               p.punched_at < moment - interval '24 hours'
               OR lead(p.punched_at) OVER (ORDER BY p.punched_at) IS NOT NULL AS is_over
        FROM payroll.clock_punch AS p
        JOIN payroll.employee AS e
            ON e.business_id = p.business_id AND e.employee_id = p.employee_id
        JOIN payroll.work_location AS l
            ON l.business_id = e.business_id AND l.work_location_id = e.primary_work_location_id
        WHERE p.business_id = tenant_mgmt.current_business_id()
          AND p.employee_id = attendance_findings.employee AND NOT p.is_superseded
          AND p.punch_kind NOT IN ('break_start', 'break_end')
          AND p.punched_at >= (first_day - 1)::timestamp AT TIME ZONE 'UTC'
          AND p.punched_at < least((last_day + 2)::timestamp AT TIME ZONE 'UTC', moment)
    )
    SELECT s.shift_date, 'late_in',
           floor(extract(epoch FROM s.came_at - s.starts_at) / 60)::integer, s.scheduled_shift_id
    FROM shift AS s
    WHERE s.came_at > s.starts_at + make_interval(mins => s.late_grace)
    UNION ALL
    SELECT s.shift_date, 'early_out',
           floor(extract(epoch FROM s.ends_at - s.left_at) / 60)::integer, s.scheduled_shift_id
    FROM shift AS s
    WHERE s.left_at < s.ends_at - make_interval(mins => s.early_grace)
    UNION ALL
    SELECT s.shift_date, 'no_show',
           floor(extract(epoch FROM s.ends_at - s.starts_at) / 60)::integer, s.scheduled_shift_id
    FROM shift AS s
    WHERE s.came_at IS NULL AND NOT EXISTS (SELECT FROM punch AS p WHERE p.day = s.shift_date)
    UNION ALL
    SELECT DISTINCT p.day, 'missing_punch', 0, NULL::uuid
    FROM punch AS p
    WHERE p.day BETWEEN first_day AND last_day
      AND (p.punch_kind IN ('in', 'meal_end') AND p.is_over
           AND NOT EXISTS (SELECT FROM block AS b WHERE b.in_punch = p.clock_punch_id)
           OR p.punch_kind IN ('out', 'meal_start')
           AND NOT EXISTS (SELECT FROM block AS b WHERE b.out_punch = p.clock_punch_id))
    UNION ALL
    SELECT b.shift_day, 'unscheduled_work',
           floor(sum(extract(epoch FROM b.ended_at - b.started_at)) / 60)::integer, NULL::uuid
    FROM block AS b
    JOIN payroll.job_assignment AS a
        ON a.business_id = tenant_mgmt.current_business_id()
       AND a.job_assignment_id = b.job_assignment_id
    JOIN payroll.work_schedule AS c
        ON c.business_id = a.business_id AND c.work_schedule_id = a.work_schedule_id
       AND c.pattern_kind IN ('fixed', 'rotating')
    WHERE b.shift_day BETWEEN first_day AND last_day
      AND NOT EXISTS (SELECT
                      FROM payroll.scheduled_shift AS s
                      WHERE s.business_id = a.business_id AND s.employee_id = a.employee_id
                        AND s.shift_date = b.shift_day
                        AND s.status NOT IN ('draft', 'cancelled', 'swapped'))
    GROUP BY b.shift_day;
END;
COMMENT ON FUNCTION payroll.attendance_findings(uuid, date, date, timestamptz) IS
    'What did not go as planned for an employee of the calling tenant on some days, as far as a
     moment tells: late, early, absent, unplanned, or a punch without its other half. Grace of the
     schedule is not told.';


CREATE FUNCTION payroll.manual_hours(employee uuid, day date) RETURNS numeric
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT sum(e.hours)
    FROM payroll.timesheet AS t
    JOIN payroll.timesheet_entry AS e
        ON e.business_id = t.business_id AND e.timesheet_id = t.timesheet_id
    WHERE t.business_id = tenant_mgmt.current_business_id()
      AND t.employee_id = manual_hours.employee AND e.work_date = day AND e.is_manual
      AND e.entry_kind IN ('regular', 'training', 'travel', 'on_call');
END;
COMMENT ON FUNCTION payroll.manual_hours(uuid, date) IS
    'Hours of a day that somebody of the calling tenant entered by hand; they count for overtime.';

CREATE FUNCTION payroll.raise_exceptions(
    sheet     uuid,
    employee  uuid,
    first_day date,
    last_day  date,
    rule      uuid,
    moment    timestamptz
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    raised integer;
BEGIN
    WITH found AS MATERIALIZED (
        SELECT f.exception_date, f.kind, f.minutes, f.scheduled_shift_id
        FROM payroll.attendance_findings(employee, first_day, last_day, moment) AS f
        WHERE NOT EXISTS (   -- who has the day off does not miss a shift
            SELECT FROM payroll.time_off_request AS r
            WHERE r.business_id = tenant AND r.employee_id = raise_exceptions.employee
              AND r.status IN ('approved', 'taken', 'partly_taken')
              AND f.exception_date BETWEEN r.starts_on AND r.ends_on)
           OR f.kind NOT IN ('no_show', 'late_in', 'early_out')
        UNION ALL
        SELECT m.shift_day, m.kind, m.minutes, NULL
        FROM payroll.missed_meals(employee, first_day, last_day, rule) AS m
        UNION ALL
        SELECT o.work_date, 'unapproved_overtime',
               floor(60 * least(o.overtime, o.worked - p.hours)), NULL
        FROM (
            SELECT e.work_date, sum(e.hours) AS worked,
                   sum(e.hours) FILTER (WHERE e.entry_kind <> 'regular') AS overtime
            FROM payroll.timesheet_entry AS e
            WHERE e.business_id = tenant AND e.timesheet_id = sheet
              AND e.in_punch_key IS NOT NULL AND e.work_date BETWEEN first_day AND last_day
            GROUP BY e.work_date
        ) AS o
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(extract(epoch FROM s.ends_at - s.starts_at) / 3600
                                - s.unpaid_break_minutes / 60.0), 0) AS hours
            FROM payroll.scheduled_shift AS s
            WHERE s.business_id = tenant AND s.employee_id = raise_exceptions.employee
              AND s.shift_date = o.work_date AND s.status NOT IN ('draft', 'cancelled', 'swapped')
        ) AS p
        WHERE o.overtime > 0 AND o.worked - p.hours > 0.25
    ), gone AS (
        -- What was found before and is found no more has been corrected.
        UPDATE payroll.attendance_exception AS x
        SET status = 'corrected', resolved_at = greatest(now(), x.detected_at), points = 0,
            timesheet_id = sheet, resolution_note = 'Not found when the timesheet was built again'
        WHERE x.business_id = tenant AND x.employee_id = raise_exceptions.employee
          AND x.exception_date BETWEEN first_day AND last_day AND x.status = 'open'
          AND x.kind NOT IN ('outside_geofence', 'buddy_punch_suspect')
          AND NOT EXISTS (SELECT FROM found AS f
                          WHERE f.exception_date = x.exception_date AND f.kind = x.kind)
    ), kept AS (
        UPDATE payroll.attendance_exception AS x
        SET timesheet_id = sheet
        WHERE x.business_id = tenant AND x.employee_id = raise_exceptions.employee
          AND x.exception_date BETWEEN first_day AND last_day AND x.timesheet_id IS NULL
          AND (x.kind IN ('outside_geofence', 'buddy_punch_suspect')
               OR EXISTS (SELECT FROM found AS f
                          WHERE f.exception_date = x.exception_date AND f.kind = x.kind))
    ), made AS (
        INSERT INTO payroll.attendance_exception
            (business_id, employee_id, scheduled_shift_id, timesheet_id, exception_date, kind,
             minutes)
        SELECT tenant, employee, (min(f.scheduled_shift_id::text))::uuid, sheet, f.exception_date,
               f.kind, sum(f.minutes)
        FROM found AS f
        GROUP BY f.exception_date, f.kind
        ON CONFLICT DO NOTHING   -- it was told before, and perhaps excused
        RETURNING attendance_exception_id
    )
    SELECT count(*) INTO raised FROM made;
    UPDATE payroll.scheduled_shift AS s
    SET status = o.outcome
    FROM (
        SELECT x.scheduled_shift_id,
               CASE WHEN EXISTS (
                        SELECT FROM payroll.timesheet_entry AS e
                        WHERE e.business_id = tenant AND e.timesheet_id = sheet
                          AND e.work_date = x.shift_date AND e.in_punch_key IS NOT NULL)
                    THEN 'worked'
                    WHEN EXISTS (
                        SELECT FROM payroll.attendance_exception AS n
                        WHERE n.business_id = tenant
                          AND n.employee_id = raise_exceptions.employee
                          AND n.exception_date = x.shift_date AND n.kind = 'no_show'
                          AND n.status <> 'corrected')
                    THEN 'no_show' ELSE x.status END AS outcome
        FROM payroll.scheduled_shift AS x
        WHERE x.business_id = tenant AND x.employee_id = raise_exceptions.employee
          AND x.shift_date BETWEEN first_day AND last_day AND x.ends_at <= moment
          AND x.status IN ('published', 'confirmed', 'worked', 'no_show')
    ) AS o
    WHERE s.business_id = tenant AND s.scheduled_shift_id = o.scheduled_shift_id
      AND s.status <> o.outcome;
    RETURN raised;
END
$$;
COMMENT ON FUNCTION payroll.raise_exceptions(uuid, uuid, date, date, uuid, timestamptz) IS
    'Raises what is found on some days of a sheet of the calling tenant, corrects what is found no
     more, and tells which shifts were worked; returns how many exceptions are new.';

CREATE FUNCTION payroll.build_timesheet(
    employee   uuid,
    pay_period uuid,
    moment     timestamptz DEFAULT now()
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant    CONSTANT uuid := tenant_mgmt.current_business_id();
    period    record;
    job       record;
    sheet     record;
    day_hours numeric[];
    rule      uuid;
    week_from date;
BEGIN
    SELECT p.starts_on, p.ends_on INTO period
    FROM payroll.pay_period AS p
    WHERE p.business_id = tenant AND p.pay_period_id = pay_period;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no pay period %', pay_period USING ERRCODE = 'no_data_found';
    END IF;
    INSERT INTO payroll.timesheet (business_id, employee_id, pay_period_id)
    VALUES (tenant, employee, pay_period)
    ON CONFLICT DO NOTHING;
    SELECT t.timesheet_id, t.status INTO sheet
    FROM payroll.timesheet AS t
    WHERE t.business_id = tenant AND t.employee_id = employee AND t.pay_period_id = pay_period
    FOR NO KEY UPDATE;
    IF sheet.status IN ('approved', 'locked') THEN
        RAISE EXCEPTION 'timesheet % is % and not built again', sheet.timesheet_id, sheet.status
            USING ERRCODE = 'check_violation', HINT = 'Reject or amend it first.';
    END IF;
    -- The job that somebody has at the end of the period decides week, place and holidays.
    SELECT a.job_assignment_id, a.work_location_id, a.worker_category, a.standard_hours_weekly,
           p.flsa_status, coalesce(s.workweek_starts_on, 'sunday') AS workweek_starts_on
    INTO job
    FROM payroll.job_assignment AS a
    JOIN payroll.job_profile AS p
        ON p.business_id = a.business_id AND p.job_profile_id = a.job_profile_id
    LEFT JOIN payroll.work_schedule AS s
        ON s.business_id = a.business_id AND s.work_schedule_id = a.work_schedule_id
    WHERE a.business_id = tenant AND a.employee_id = employee
      AND daterange(a.effective_from, a.effective_until)
          && daterange(period.starts_on, period.ends_on, '[]')
    ORDER BY a.is_primary DESC, a.effective_from DESC, a.job_assignment_id
    LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'employee % has no job from % to %', employee, period.starts_on,
                        period.ends_on
            USING ERRCODE = 'no_data_found';
    END IF;
    DELETE FROM payroll.timesheet_entry AS e
    WHERE e.business_id = tenant AND e.timesheet_id = sheet.timesheet_id AND NOT e.is_manual;

    -- Workweeks are counted whole, also where the pay period begins within one.
    FOR week_from IN
        SELECT w.day::date
        FROM generate_series(
            payroll.week_start(period.starts_on, job.workweek_starts_on)::timestamp,
            period.ends_on::timestamp, '7 days') AS w (day)
    LOOP
        SELECT array_agg(coalesce(s.hours, 0) + coalesce(m.hours, 0) ORDER BY d.day_no)
        INTO day_hours
        FROM generate_series(0, 6) AS d (day_no)
        LEFT JOIN (
            SELECT s.work_date, sum(s.hours) AS hours
            FROM payroll.work_segments(employee, week_from, week_from + 6) AS s
            GROUP BY s.work_date
        ) AS s ON s.work_date = week_from + d.day_no
        LEFT JOIN LATERAL payroll.manual_hours(employee, week_from + d.day_no) AS m (hours) ON true;
        rule := CASE WHEN job.flsa_status = 'nonexempt'
                     THEN payroll.better_overtime_rule(job.work_location_id, week_from, day_hours)
                     END;
        IF rule IS NULL AND job.flsa_status = 'nonexempt' THEN
            RAISE EXCEPTION 'no overtime rule holds in the week of %', week_from
                USING ERRCODE = 'no_data_found', HINT = 'Add at least the federal one.';
        END IF;
        INSERT INTO payroll.timesheet_entry
            (business_id, timesheet_id, job_assignment_id, earning_code_id, department_id,
             overtime_rule_id, work_date, started_at, ended_at, hours, entry_kind, in_punch_key,
             out_punch_key)
        WITH split AS (
            SELECT week_from + s.day_no - 1 AS day, s.regular, s.overtime, s.doubletime
            FROM payroll.overtime_rule AS r
            CROSS JOIN LATERAL payroll.split_week(
                day_hours, r.daily_overtime_after_hours, r.daily_doubletime_after_hours,
                r.weekly_overtime_after_hours, r.seventh_day_rule) AS s
            WHERE r.business_id = tenant AND r.overtime_rule_id = rule
        ), segment AS (
            -- Where a piece lies in the hours of its day; those by hand come first.
            SELECT s.*, coalesce(m.hours, 0)
                        + sum(s.hours) OVER (PARTITION BY s.work_date ORDER BY s.started_at)
                        - s.hours AS low,
                   coalesce(m.hours, 0)
                   + sum(s.hours) OVER (PARTITION BY s.work_date ORDER BY s.started_at) AS high
            FROM payroll.work_segments(employee, week_from, week_from + 6) AS s
            LEFT JOIN LATERAL payroll.manual_hours(employee, s.work_date) AS m (hours) ON true
        ), part AS (
            SELECT g.*, k.kind, greatest(g.low, k.low) AS part_low,
                   least(g.high, k.high) AS part_high
            FROM segment AS g
            LEFT JOIN split AS x ON x.day = g.work_date
            CROSS JOIN LATERAL (VALUES
                ('regular', 0::numeric, coalesce(x.regular, g.high)),
                ('overtime', x.regular, x.regular + x.overtime),
                ('doubletime', x.regular + x.overtime, x.regular + x.overtime + x.doubletime)
            ) AS k (kind, low, high)
            WHERE k.high IS NOT NULL AND greatest(g.low, k.low) < least(g.high, k.high)
        )
        SELECT tenant, sheet.timesheet_id, p.job_assignment_id,
               payroll.earning_code_for(p.kind),
               p.department_id, rule, p.work_date,
               p.started_at + (p.part_low - p.low) * interval '1 hour',
               CASE WHEN p.part_high = p.high THEN p.ended_at
                    ELSE p.started_at + (p.part_high - p.low) * interval '1 hour' END,
               p.part_high - p.part_low, p.kind, p.in_punch, p.out_punch
        FROM part AS p
        WHERE p.work_date BETWEEN period.starts_on AND period.ends_on
        ORDER BY p.started_at, p.part_low;

        -- A premium is paid beside the hours that it is for, so that these count once.
        INSERT INTO payroll.timesheet_entry
            (business_id, timesheet_id, job_assignment_id, earning_code_id, department_id,
             work_date, started_at, ended_at, hours, entry_kind, rate_override_amount)
        SELECT tenant, sheet.timesheet_id, s.job_assignment_id, r.earning_code_id,
               s.department_id, s.work_date, s.started_at, s.ended_at, s.hours, 'regular',
               s.premium_rate
        FROM payroll.work_segments(employee, week_from, week_from + 6) AS s
        JOIN payroll.pay_premium_rule AS r
            ON r.business_id = tenant AND r.pay_premium_rule_id = s.pay_premium_rule_id
        WHERE s.work_date BETWEEN period.starts_on AND period.ends_on
        ORDER BY s.started_at;

        INSERT INTO payroll.timesheet_entry
            (business_id, timesheet_id, job_assignment_id, earning_code_id, overtime_rule_id,
             work_date, hours, entry_kind)
        SELECT tenant, sheet.timesheet_id, job.job_assignment_id,
               payroll.earning_code_for('meal_penalty'), rule, m.shift_day, r.meal_penalty_hours,
               'meal_penalty'
        FROM payroll.overtime_rule AS r
        CROSS JOIN LATERAL payroll.missed_meals(employee, week_from, week_from + 6, rule) AS m
        WHERE r.business_id = tenant AND r.overtime_rule_id = rule AND r.meal_penalty_hours > 0
          AND m.shift_day BETWEEN period.starts_on AND period.ends_on
          AND NOT EXISTS (
              SELECT FROM payroll.attendance_exception AS x
              WHERE x.business_id = tenant AND x.employee_id = employee
                AND x.exception_date = m.shift_day AND x.status = 'waived'
                AND x.kind IN ('missed_meal', 'short_meal'));

        PERFORM payroll.raise_exceptions(
            sheet.timesheet_id, employee, greatest(week_from, period.starts_on),
            least(week_from + 6, period.ends_on), rule, moment);
    END LOOP;

    -- Called back for an hour, paid for the least that the rule promises.
    INSERT INTO payroll.timesheet_entry
        (business_id, timesheet_id, job_assignment_id, earning_code_id, work_date, hours,
         entry_kind)
    SELECT tenant, sheet.timesheet_id, job.job_assignment_id, c.earning_code_id, c.work_date,
           c.minimum_hours - c.hours, 'on_call'
    FROM (
        SELECT DISTINCT ON (w.work_date) w.work_date, w.hours, r.earning_code_id, r.minimum_hours
        FROM (
            SELECT s.work_date, sum(s.hours) AS hours
            FROM payroll.work_segments(employee, period.starts_on, period.ends_on) AS s
            GROUP BY s.work_date
        ) AS w
        JOIN payroll.pay_premium_rule AS r
            ON r.business_id = tenant AND r.premium_kind = 'call_back'
           AND daterange(r.effective_from, r.effective_until) @> w.work_date
           AND coalesce(r.work_location_id = job.work_location_id, true)
           AND r.minimum_hours > w.hours
        WHERE EXISTS (
            SELECT FROM payroll.attendance_exception AS x
            WHERE x.business_id = tenant AND x.employee_id = employee
              AND x.exception_date = w.work_date AND x.kind = 'unscheduled_work')
        ORDER BY w.work_date, r.minimum_hours DESC, r.code
    ) AS c;

    -- A paid holiday is a fifth of the week of whoever works full time.
    INSERT INTO payroll.timesheet_entry
        (business_id, timesheet_id, job_assignment_id, earning_code_id, work_date, hours,
         entry_kind)
    SELECT tenant, sheet.timesheet_id, job.job_assignment_id, payroll.earning_code_for('holiday'),
           h.day, round(job.standard_hours_weekly / 5, 4), 'holiday'
    FROM (
        SELECT DISTINCT coalesce(h.observed_date, h.holiday_date) AS day
        FROM system_core.holiday AS h
        JOIN system_core.holiday_calendar AS c
            ON c.business_id = h.business_id AND c.holiday_calendar_id = h.holiday_calendar_id
        WHERE h.business_id = tenant AND c.is_default AND h.is_paid AND h.kind <> 'half_day'
    ) AS h
    JOIN payroll.employment_spell AS s
        ON s.business_id = tenant AND s.employee_id = employee
       AND daterange(s.hired_on, s.terminated_on, '[]') @> h.day
    WHERE job.worker_category = 'full_time' AND job.standard_hours_weekly > 0
      AND h.day BETWEEN period.starts_on AND period.ends_on
    ORDER BY h.day;

    INSERT INTO payroll.timesheet_entry
        (business_id, timesheet_id, job_assignment_id, earning_code_id, work_date, hours,
         entry_kind)
    SELECT tenant, sheet.timesheet_id, job.job_assignment_id, p.earning_code_id, d.day, d.hours,
           'pto'
    FROM payroll.time_off_request AS r
    JOIN payroll.time_off_policy AS p
        ON p.business_id = r.business_id AND p.time_off_policy_id = r.time_off_policy_id
    CROSS JOIN LATERAL payroll.time_off_days(r.time_off_request_id) AS d (day, hours)
    WHERE r.business_id = tenant AND r.employee_id = employee
      AND r.status IN ('approved', 'taken', 'partly_taken')
      AND r.starts_on <= period.ends_on AND r.ends_on >= period.starts_on
      AND d.day BETWEEN period.starts_on AND period.ends_on
    ORDER BY d.day;
    RETURN sheet.timesheet_id;
END
$$;
COMMENT ON FUNCTION payroll.build_timesheet(uuid, uuid, timestamptz) IS
    'Makes the timesheet of an employee of the calling tenant for a pay period from punches,
     premiums, holidays and approved time off, and raises its exceptions as of a moment; returns
     it. Built again it says the same: entries by hand stay, the others are made anew.';


CREATE FUNCTION payroll.who_is_working(moment timestamptz DEFAULT now())
    RETURNS TABLE (employee_id uuid, employee_number text, first_name text, last_name text,
                   work_location_id uuid, place text, since timestamptz, is_on_break boolean,
                   scheduled_shift_id uuid, shift_ends_at timestamptz, week_hours numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT e.employee_id, e.employee_number, e.first_name, e.last_name, l.work_location_id, l.name,
           f.punched_at, p.punch_kind = 'break_start', s.scheduled_shift_id, s.ends_at,
           round(w.hours + extract(epoch FROM moment - f.at_work_since) / 3600, 2)
    FROM payroll.employee AS e
    CROSS JOIN LATERAL (
        SELECT x.punch_kind, x.punched_at, x.time_clock_id
        FROM payroll.clock_punch AS x
        WHERE x.business_id = e.business_id AND x.employee_id = e.employee_id
          AND NOT x.is_superseded AND x.punched_at <= moment
          AND x.punched_at > moment - interval '24 hours'
        ORDER BY x.punched_at DESC, x.clock_punch_id DESC
        LIMIT 1
    ) AS p
    CROSS JOIN LATERAL (
        SELECT max(x.punched_at) FILTER (WHERE x.punch_kind = 'in') AS punched_at,
               max(x.punched_at) AS at_work_since   -- the meal before it was not work
        FROM payroll.clock_punch AS x
        WHERE x.business_id = e.business_id AND x.employee_id = e.employee_id
          AND NOT x.is_superseded AND x.punch_kind IN ('in', 'meal_end', 'transfer')
          AND x.punched_at <= moment
          AND x.punched_at > moment - interval '24 hours'
    ) AS f
    LEFT JOIN payroll.time_clock AS c
        ON c.business_id = e.business_id AND c.time_clock_id = p.time_clock_id
    JOIN payroll.work_location AS l
        ON l.business_id = e.business_id
       AND l.work_location_id = coalesce(c.work_location_id, e.primary_work_location_id)
    LEFT JOIN LATERAL (
        SELECT x.scheduled_shift_id, x.ends_at
        FROM payroll.scheduled_shift AS x
        WHERE x.business_id = e.business_id AND x.employee_id = e.employee_id
          AND x.status NOT IN ('draft', 'cancelled', 'swapped')
          AND x.starts_at < moment + interval '1 hour' AND x.ends_at > moment - interval '4 hours'
        ORDER BY abs(extract(epoch FROM x.starts_at - f.punched_at)), x.scheduled_shift_id
        LIMIT 1
    ) AS s ON true
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(extract(epoch FROM b.ended_at - b.started_at)) / 3600, 0) AS hours
        FROM payroll.week_start((moment AT TIME ZONE l.time_zone)::date, 'sunday') AS d (first_day)
        CROSS JOIN LATERAL payroll.work_blocks(e.employee_id, d.first_day, d.first_day + 6) AS b
        WHERE b.started_at >= d.first_day::timestamp AT TIME ZONE l.time_zone
          AND b.ended_at <= moment
    ) AS w
    WHERE e.business_id = tenant_mgmt.current_business_id()
      AND e.status IN ('active', 'rehired', 'on_leave')
      AND p.punch_kind IN ('in', 'meal_end', 'transfer', 'break_start', 'break_end')
    ORDER BY l.name, e.last_name, e.employee_number;
END;
COMMENT ON FUNCTION payroll.who_is_working(timestamptz) IS
    'Who of the calling tenant was clocked in at a moment: since when, where, until when by the
     plan, and with how many hours in the week so far. Who is at a meal is not working.';

CREATE VIEW payroll.v_who_is_working_now WITH (security_invoker = true) AS
SELECT w.employee_id, w.employee_number, w.first_name, w.last_name, w.work_location_id, w.place,
       w.since, w.is_on_break, w.scheduled_shift_id, w.shift_ends_at, w.week_hours
FROM payroll.who_is_working(now()) AS w;
COMMENT ON VIEW payroll.v_who_is_working_now IS
    'Clocked-in employees with shift, place and hours this week.';
GRANT SELECT ON payroll.v_who_is_working_now TO app_user, app_readonly;


CREATE MATERIALIZED VIEW payroll.mv_attendance_pattern AS
SELECT f.business_id, f.employee_id, extract(isodow FROM f.day)::integer AS weekday,
       date_trunc('quarter', f.day::timestamp)::date AS quarter_starts_on,
       count(*) FILTER (WHERE f.kind = 'shift') AS shifts,
       count(*) FILTER (WHERE f.kind = 'late_in') AS times_late,
       coalesce(sum(f.amount) FILTER (WHERE f.kind = 'late_in'), 0) AS minutes_late,
       count(*) FILTER (WHERE f.kind = 'no_show') AS absences,
       coalesce(sum(f.amount) FILTER (WHERE f.kind = 'overtime'), 0) AS overtime_hours
FROM (
    SELECT s.business_id, s.employee_id, s.shift_date AS day, 'shift' AS kind, 1::numeric AS amount
    FROM payroll.scheduled_shift AS s
    WHERE s.status IN ('worked', 'no_show')
    UNION ALL
    SELECT x.business_id, x.employee_id, x.exception_date, x.kind, x.minutes
    FROM payroll.attendance_exception AS x
    WHERE x.kind IN ('late_in', 'no_show') AND x.status <> 'corrected'
    UNION ALL
    SELECT t.business_id, t.employee_id, e.work_date, 'overtime', e.hours
    FROM payroll.timesheet AS t
    JOIN payroll.timesheet_entry AS e
        ON e.business_id = t.business_id AND e.timesheet_id = t.timesheet_id
    WHERE e.entry_kind IN ('overtime', 'doubletime')
) AS f
GROUP BY f.business_id, f.employee_id, extract(isodow FROM f.day),
         date_trunc('quarter', f.day::timestamp)
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW payroll.mv_attendance_pattern IS
    'Lateness, absence and overtime per employee, weekday (1 is Monday) and quarter.';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_attendance_pattern_idx
    ON payroll.mv_attendance_pattern (business_id, employee_id, quarter_starts_on, weekday);

GRANT USAGE ON SCHEMA payroll TO matview_owner;
GRANT SELECT ON payroll.scheduled_shift, payroll.attendance_exception, payroll.timesheet,
    payroll.timesheet_entry TO matview_owner;

CREATE VIEW payroll.v_attendance_pattern WITH (security_barrier = true) AS
SELECT m.business_id, m.employee_id, m.weekday, m.quarter_starts_on, m.shifts, m.times_late,
       m.minutes_late, m.absences, m.overtime_hours
FROM payroll.mv_attendance_pattern AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW payroll.v_attendance_pattern IS
    'The tenant''s own part of mv_attendance_pattern.';
GRANT SELECT ON payroll.v_attendance_pattern TO app_user, app_readonly;
