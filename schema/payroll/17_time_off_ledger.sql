/*
 * The ledger of time off at work: posting, asking, taking, accruing, carrying over.
 *
 * Every posting takes the row of its enrollment first, moves its balance and notes what it then
 * was; time_off_differences() proves that both agree. A request takes the same row to see whether
 * there are hours left and to hold them. Two requests for the last hours therefore wait for each
 * other, and one of them is refused.
 */

CREATE FUNCTION payroll.post_time_off() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    plan record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    SELECT e.balance_hours, e.entry_count, p.code, p.balance_cap_hours, p.allows_negative_hours,
           p.accrual_method, date_trunc('year', NEW.entry_date::timestamp)
                             > date_trunc('year', e.last_posted_on::timestamp) AS is_new_year
    INTO plan
    FROM payroll.time_off_enrollment AS e
    JOIN payroll.time_off_policy AS p
        ON p.business_id = e.business_id AND p.time_off_policy_id = e.time_off_policy_id
    WHERE e.business_id = NEW.business_id
      AND e.time_off_enrollment_id = NEW.time_off_enrollment_id
    FOR NO KEY UPDATE OF e;
    NEW.entry_no := plan.entry_count + 1;
    NEW.balance_after_hours := plan.balance_hours + NEW.hours;
    NEW.posted_at := clock_timestamp();
    IF NEW.hours < 0 AND plan.accrual_method <> 'unlimited'
       AND NEW.balance_after_hours < - plan.allows_negative_hours THEN
        RAISE EXCEPTION '% has % hours, % cannot be posted', plan.code, plan.balance_hours,
                        NEW.hours
            USING ERRCODE = 'check_violation', CONSTRAINT = 'time_off_balance_not_exceeded';
    END IF;
    IF NEW.entry_kind = 'accrual' AND NEW.balance_after_hours > plan.balance_cap_hours THEN
        RAISE EXCEPTION '% accrues up to %, % more than % cannot be posted', plan.code,
                        plan.balance_cap_hours, NEW.hours, plan.balance_hours
            USING ERRCODE = 'check_violation', CONSTRAINT = 'time_off_balance_not_above_cap';
    END IF;
    UPDATE payroll.time_off_enrollment AS e
    SET balance_hours = NEW.balance_after_hours,
        entry_count = NEW.entry_no,
        accrued_ytd_hours = CASE WHEN plan.is_new_year THEN 0 ELSE e.accrued_ytd_hours END
                            + CASE WHEN NEW.entry_kind = 'accrual' THEN NEW.hours ELSE 0 END,
        used_ytd_hours = CASE WHEN plan.is_new_year THEN 0 ELSE e.used_ytd_hours END
                         - CASE WHEN NEW.entry_kind = 'use' THEN NEW.hours ELSE 0 END,
        last_posted_on = greatest(e.last_posted_on, NEW.entry_date)
    WHERE e.business_id = NEW.business_id
      AND e.time_off_enrollment_id = NEW.time_off_enrollment_id;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.post_time_off() IS
    'An entry moves the balance of its enrollment and notes what it then was: not further below
     zero than the plan allows, by accrual not above its cap, also when two are posted at once.
     Imported history brings its balances.';

CREATE TRIGGER time_off_ledger_entry_post
    BEFORE INSERT ON payroll.time_off_ledger_entry
    FOR EACH ROW EXECUTE FUNCTION payroll.post_time_off();


CREATE FUNCTION payroll.time_off_differences()
    RETURNS TABLE (time_off_enrollment_id uuid, difference text, said numeric, found numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH ledger AS (
        SELECT l.time_off_enrollment_id, l.entry_no, l.balance_after_hours, l.hours,
               sum(l.hours) OVER line AS running, row_number() OVER line AS place
        FROM payroll.time_off_ledger_entry AS l
        WHERE l.business_id = tenant_mgmt.current_business_id()
        WINDOW line AS (PARTITION BY l.time_off_enrollment_id ORDER BY l.entry_no)
    ), asked AS (
        SELECT e.time_off_enrollment_id, sum(r.hours_requested) AS hours
        FROM payroll.time_off_request AS r
        JOIN payroll.time_off_enrollment AS e
            ON e.business_id = r.business_id AND e.employee_id = r.employee_id
           AND e.time_off_policy_id = r.time_off_policy_id
           AND daterange(e.enrolled_on, e.ended_on, '[]') @> r.starts_on
        WHERE r.business_id = tenant_mgmt.current_business_id()
          AND r.status IN ('submitted', 'approved')
        GROUP BY e.time_off_enrollment_id
    )
    SELECT e.time_off_enrollment_id, 'balance', e.balance_hours, coalesce(sum(l.hours), 0)
    FROM payroll.time_off_enrollment AS e
    LEFT JOIN ledger AS l ON l.time_off_enrollment_id = e.time_off_enrollment_id
    WHERE e.business_id = tenant_mgmt.current_business_id()
    GROUP BY e.time_off_enrollment_id, e.balance_hours
    HAVING e.balance_hours <> coalesce(sum(l.hours), 0)
    UNION ALL
    SELECT l.time_off_enrollment_id, 'entry ' || l.entry_no, l.balance_after_hours, l.running
    FROM ledger AS l
    WHERE l.balance_after_hours <> l.running OR l.entry_no <> l.place
    UNION ALL
    SELECT e.time_off_enrollment_id, 'pending', e.pending_hours, coalesce(a.hours, 0)
    FROM payroll.time_off_enrollment AS e
    LEFT JOIN asked AS a ON a.time_off_enrollment_id = e.time_off_enrollment_id
    WHERE e.business_id = tenant_mgmt.current_business_id()
      AND e.pending_hours <> coalesce(a.hours, 0);
END;
COMMENT ON FUNCTION payroll.time_off_differences() IS
    'Proves the leave of the calling tenant, every night: enrollments whose balance is not the sum
     of their ledger, entries that do not follow from the one before, and hours held for requests
     that nobody made.';


CREATE FUNCTION payroll.reverse_time_off(entry uuid, why text) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    wrong  record;
    made   uuid;
BEGIN
    -- Whoever comes second finds it reversed.
    UPDATE payroll.time_off_ledger_entry AS l
    SET is_reversed = true
    WHERE l.business_id = tenant AND l.time_off_ledger_entry_id = entry AND NOT l.is_reversed
      AND l.entry_kind <> 'reversal'
    RETURNING l.time_off_enrollment_id, l.time_off_request_id, l.hours, l.entry_date,
              l.pay_period_key INTO wrong;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'entry % is not there, is a reversal, or was reversed before', entry
            USING ERRCODE = 'no_data_found';
    END IF;
    INSERT INTO payroll.time_off_ledger_entry
        (business_id, time_off_enrollment_id, time_off_request_id, entry_date, entry_kind, hours,
         pay_period_key, reason)
    VALUES (tenant, wrong.time_off_enrollment_id, wrong.time_off_request_id,
            greatest(wrong.entry_date, current_date), 'reversal', - wrong.hours,
            wrong.pay_period_key, why)
    RETURNING time_off_ledger_entry_id INTO made;
    RETURN made;
END
$$;
COMMENT ON FUNCTION payroll.reverse_time_off(uuid, text) IS
    'Takes an entry of the ledger of the calling tenant back by another one, once; returns that.';


CREATE FUNCTION payroll.leave_days(policy uuid, first_day date, last_day date)
    RETURNS TABLE (day date)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH day AS (
        SELECT d.day::date AS day,
               extract(isodow FROM d.day) < 6
               AND NOT EXISTS (
                   SELECT
                   FROM system_core.holiday AS h
                   JOIN system_core.holiday_calendar AS c
                       ON c.business_id = h.business_id
                      AND c.holiday_calendar_id = h.holiday_calendar_id
                   WHERE h.business_id = p.business_id AND h.kind <> 'half_day'
                     AND CASE WHEN p.holiday_calendar_id IS NULL THEN c.is_default
                              ELSE c.holiday_calendar_id = p.holiday_calendar_id END
                     AND coalesce(h.observed_date, h.holiday_date) = d.day::date) AS is_working
        FROM payroll.time_off_policy AS p
        CROSS JOIN generate_series(first_day::timestamp, last_day::timestamp, '1 day') AS d (day)
        WHERE p.business_id = tenant_mgmt.current_business_id()
          AND p.time_off_policy_id = policy
    )
    -- Who has days off that nobody works has them all the same.
    SELECT d.day
    FROM day AS d
    WHERE d.is_working OR NOT EXISTS (SELECT FROM day AS x WHERE x.is_working)
    ORDER BY d.day;
END;
COMMENT ON FUNCTION payroll.leave_days(uuid, date, date) IS
    'The days between two that leave of a policy of the calling tenant is counted for: neither
     weekends nor holidays.';

CREATE FUNCTION payroll.time_off_days(request uuid)
    RETURNS TABLE (day date, hours numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH taken AS (
        SELECT d.day, coalesce(r.taken_hours, r.hours_requested) AS total,
               count(*) OVER () AS days, row_number() OVER (ORDER BY d.day) AS place
        FROM payroll.time_off_request AS r
        CROSS JOIN LATERAL payroll.leave_days(r.time_off_policy_id, r.starts_on, r.ends_on) AS d
        WHERE r.business_id = tenant_mgmt.current_business_id()
          AND r.time_off_request_id = request
    )
    SELECT t.day, CASE WHEN t.place < t.days THEN trunc(t.total / t.days, 4)
                       ELSE t.total - (t.days - 1) * trunc(t.total / t.days, 4) END
    FROM taken AS t
    ORDER BY t.day;
END;
COMMENT ON FUNCTION payroll.time_off_days(uuid) IS
    'The hours of a request of the calling tenant spread over its working days; together they are
     what was asked for, or taken.';


CREATE FUNCTION payroll.hold_time_off() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    plan record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    IF NEW.status = OLD.status THEN
        IF OLD.status <> 'draft'
           AND (OLD.employee_id, OLD.time_off_policy_id, OLD.starts_on, OLD.ends_on,
                OLD.hours_requested, OLD.day_part) IS DISTINCT FROM
               (NEW.employee_id, NEW.time_off_policy_id, NEW.starts_on, NEW.ends_on,
                NEW.hours_requested, NEW.day_part) THEN
            RAISE EXCEPTION 'a request that is % is not changed', OLD.status
                USING ERRCODE = 'check_violation', HINT = 'Cancel it and ask again.';
        END IF;
        RETURN NEW;
    END IF;
    SELECT e.time_off_enrollment_id, e.balance_hours, e.pending_hours, e.enrolled_on, p.code,
           p.waiting_days, p.allows_negative_hours, p.accrual_method = 'unlimited' AS is_unlimited
    INTO plan
    FROM payroll.time_off_enrollment AS e
    JOIN payroll.time_off_policy AS p
        ON p.business_id = e.business_id AND p.time_off_policy_id = e.time_off_policy_id
    WHERE e.business_id = NEW.business_id AND e.employee_id = NEW.employee_id
      AND e.time_off_policy_id = NEW.time_off_policy_id
      AND daterange(e.enrolled_on, e.ended_on, '[]') @> NEW.starts_on
    FOR NO KEY UPDATE OF e;
    IF NOT FOUND AND NEW.status <> 'cancelled' THEN
        RAISE EXCEPTION 'the employee is not in this plan on %', NEW.starts_on
            USING ERRCODE = 'check_violation', HINT = 'Enroll them first.';
    END IF;
    IF NEW.status = 'submitted' THEN
        IF NEW.starts_on < plan.enrolled_on + plan.waiting_days THEN
            RAISE EXCEPTION '% may be used from % on', plan.code,
                            plan.enrolled_on + plan.waiting_days
                USING ERRCODE = 'check_violation', CONSTRAINT = 'time_off_waiting_days';
        END IF;
        IF NOT plan.is_unlimited
           AND plan.balance_hours - plan.pending_hours + plan.allows_negative_hours
               < NEW.hours_requested THEN
            RAISE EXCEPTION '% has % hours left, % are asked for', plan.code,
                            plan.balance_hours - plan.pending_hours, NEW.hours_requested
                USING ERRCODE = 'check_violation', CONSTRAINT = 'time_off_balance_not_exceeded';
        END IF;
        NEW.submitted_at := coalesce(NEW.submitted_at, now());
        NEW.balance_at_request_hours := plan.balance_hours;
        SELECT count(*) INTO NEW.conflicts_found
        FROM payroll.scheduled_shift AS s
        WHERE s.business_id = NEW.business_id AND s.employee_id = NEW.employee_id
          AND s.shift_date BETWEEN NEW.starts_on AND NEW.ends_on
          AND s.status IN ('published', 'confirmed');
    ELSIF NEW.status IN ('approved', 'denied') THEN
        NEW.decided_at := coalesce(NEW.decided_at, now());
        IF EXISTS (
            SELECT FROM payroll.employee AS p
            WHERE p.business_id = NEW.business_id AND p.employee_id = NEW.employee_id
              AND p.user_account_id = NEW.decided_by) THEN
            RAISE EXCEPTION 'nobody decides on their own time off'
                USING ERRCODE = 'check_violation', HINT = 'Let the supervisor decide.';
        END IF;
    ELSIF NEW.status = 'taken' THEN
        NEW.taken_hours := NEW.hours_requested;
    END IF;
    UPDATE payroll.time_off_enrollment AS e
    SET pending_hours = e.pending_hours
                        + CASE WHEN NEW.status = 'submitted' THEN NEW.hours_requested
                               WHEN OLD.status IN ('submitted', 'approved')
                                    AND NEW.status <> 'approved' THEN - NEW.hours_requested
                               ELSE 0 END
    WHERE e.business_id = NEW.business_id
      AND e.time_off_enrollment_id = plan.time_off_enrollment_id;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.hold_time_off() IS
    'Hours are held when they are asked for, if there are any left, and let go when they are taken,
     denied or given back. Nobody decides on their own. Imported requests bring all that.';

-- After the state machine: it is named later.
CREATE TRIGGER time_off_request_takes_hours
    BEFORE UPDATE ON payroll.time_off_request
    FOR EACH ROW EXECUTE FUNCTION payroll.hold_time_off();

CREATE FUNCTION payroll.use_time_off() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    INSERT INTO payroll.time_off_ledger_entry
        (business_id, time_off_enrollment_id, time_off_request_id, entry_date, entry_kind, hours)
    SELECT e.business_id, e.time_off_enrollment_id, NEW.time_off_request_id, NEW.ends_on, 'use',
           - NEW.taken_hours
    FROM payroll.time_off_enrollment AS e
    WHERE e.business_id = NEW.business_id AND e.employee_id = NEW.employee_id
      AND e.time_off_policy_id = NEW.time_off_policy_id
      AND daterange(e.enrolled_on, e.ended_on, '[]') @> NEW.starts_on;
    UPDATE payroll.leave_case AS c
    SET used_hours = c.used_hours + NEW.taken_hours
    WHERE c.business_id = NEW.business_id AND c.leave_case_id = NEW.leave_case_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.use_time_off() IS
    'What was taken is used up in the ledger, and in the entitlement of a protected leave.';

CREATE TRIGGER time_off_request_use
    AFTER UPDATE OF status ON payroll.time_off_request
    FOR EACH ROW
    WHEN (OLD.status <> NEW.status AND NEW.status IN ('taken', 'partly_taken'))
    EXECUTE FUNCTION payroll.use_time_off();


CREATE FUNCTION payroll.request_time_off(
    employee   uuid,
    policy     uuid,
    first_day  date,
    last_day   date,
    hours      numeric,
    part       text DEFAULT 'full',
    note       text DEFAULT NULL
) RETURNS TABLE (time_off_request_id uuid, conflicts_found integer, hours_left numeric)
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   uuid;
BEGIN
    INSERT INTO payroll.time_off_request AS r
        (business_id, employee_id, time_off_policy_id, starts_on, ends_on, hours_requested,
         day_part, employee_note)
    VALUES (tenant, employee, policy, first_day, last_day, hours, part, note)
    RETURNING r.time_off_request_id INTO made;
    UPDATE payroll.time_off_request AS r
    SET status = 'submitted'
    WHERE r.business_id = tenant AND r.time_off_request_id = made;
    RETURN QUERY
    SELECT made, r.conflicts_found, e.balance_hours - e.pending_hours
    FROM payroll.time_off_request AS r
    JOIN payroll.time_off_enrollment AS e
        ON e.business_id = r.business_id AND e.employee_id = r.employee_id
       AND e.time_off_policy_id = r.time_off_policy_id
       AND daterange(e.enrolled_on, e.ended_on, '[]') @> r.starts_on
    WHERE r.business_id = tenant AND r.time_off_request_id = made;
END
$$;
COMMENT ON FUNCTION payroll.request_time_off(uuid, uuid, date, date, numeric, text, text) IS
    'Asks for time off for an employee of the calling tenant and submits it: tells how many planned
     shifts are in the way and how many hours are left. Refused where hours are lacking or the
     waiting time is not over.';


CREATE FUNCTION payroll.accrual_due(enrollment uuid, pay_period uuid) RETURNS numeric
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    fact   record;
    tier   record;
    earned numeric;
BEGIN
    SELECT e.employee_id, e.enrolled_on, e.ended_on, e.balance_hours, p.time_off_policy_id,
           p.accrual_method, p.accrual_per_hour_rate, p.annual_cap_hours, p.balance_cap_hours,
           d.pay_period_id, d.starts_on, d.ends_on, c.frequency,
           CASE WHEN date_trunc('year', d.ends_on::timestamp)
                     > date_trunc('year', e.last_posted_on::timestamp) THEN 0
                ELSE e.accrued_ytd_hours END AS accrued,
           payroll.service_months(e.employee_id, least(d.ends_on, e.ended_on)) AS months,
           (SELECT coalesce(s.adjusted_service_on, s.hired_on)
            FROM payroll.employment_spell AS s
            WHERE s.business_id = tenant AND s.employee_id = e.employee_id
              AND s.hired_on <= d.ends_on
            ORDER BY s.hired_on DESC
            LIMIT 1) AS served_since
    INTO fact
    FROM payroll.time_off_enrollment AS e
    JOIN payroll.time_off_policy AS p
        ON p.business_id = e.business_id AND p.time_off_policy_id = e.time_off_policy_id
    JOIN payroll.pay_period AS d ON d.business_id = e.business_id AND d.pay_period_id = pay_period
    JOIN payroll.pay_schedule AS c
        ON c.business_id = d.business_id AND c.pay_schedule_id = d.pay_schedule_id
    WHERE e.business_id = tenant AND e.time_off_enrollment_id = enrollment
      AND e.enrolled_on <= d.ends_on AND coalesce(e.ended_on >= d.starts_on, true);
    IF NOT FOUND OR fact.accrual_method = 'unlimited' OR fact.months IS NULL THEN
        RETURN 0;
    END IF;
    SELECT t.hours_per_year, t.hours_per_period, t.front_load_hours, t.max_balance_hours INTO tier
    FROM payroll.accrual_tier AS t
    WHERE t.business_id = tenant AND t.time_off_policy_id = fact.time_off_policy_id
      AND t.from_service_months <= fact.months
    ORDER BY t.from_service_months DESC
    LIMIT 1;
    earned := CASE fact.accrual_method
        -- Who is exempt keeps no hours and is taken to work the standard ones, as by
        -- Cal. Lab. Code 246(b)(2).
        WHEN 'per_hour_worked' THEN fact.accrual_per_hour_rate * coalesce(
            (SELECT t.regular_hours + t.overtime_hours + t.doubletime_hours
             FROM payroll.timesheet AS t
             WHERE t.business_id = tenant AND t.employee_id = fact.employee_id
               AND t.pay_period_id = fact.pay_period_id),
            (SELECT a.standard_hours_weekly * (fact.ends_on - fact.starts_on + 1) / 7
             FROM payroll.job_assignment AS a
             JOIN payroll.job_profile AS j
                 ON j.business_id = a.business_id AND j.job_profile_id = a.job_profile_id
             WHERE a.business_id = tenant AND a.employee_id = fact.employee_id AND a.is_primary
               AND j.flsa_status = 'exempt'
               AND daterange(a.effective_from, a.effective_until) @> fact.ends_on),
            0)
        WHEN 'per_pay_period' THEN coalesce(
            tier.hours_per_period,
            tier.hours_per_year / CASE fact.frequency WHEN 'weekly' THEN 52 WHEN 'biweekly' THEN 26
                                                      WHEN 'semimonthly' THEN 24
                                                      WHEN 'monthly' THEN 12 ELSE 4 END)
        -- The year's hours come in the period that holds 1 January, or the first day in the plan.
        WHEN 'annual_front_load' THEN
            CASE WHEN date_trunc('year', fact.ends_on::timestamp)::date >= fact.starts_on
                      OR fact.enrolled_on BETWEEN fact.starts_on AND fact.ends_on
                 THEN coalesce(tier.front_load_hours, tier.hours_per_year) ELSE 0 END
        -- And in the one that holds the day on which another year of service is complete.
        WHEN 'anniversary' THEN
            CASE WHEN fact.months >= 12
                      AND extract(year FROM age(fact.ends_on, fact.served_since))
                          > extract(year FROM age(fact.starts_on - 1, fact.served_since))
                 THEN tier.hours_per_year ELSE 0 END
    END;
    RETURN greatest(0, round(least(
        earned,
        fact.annual_cap_hours - fact.accrued,
        fact.balance_cap_hours - fact.balance_hours,
        tier.max_balance_hours - fact.balance_hours), 4));
END
$$;
COMMENT ON FUNCTION payroll.accrual_due(uuid, uuid) IS
    'Hours that an enrollment of the calling tenant earns in a pay period: by the method of its plan
     and the tier of its service, as far as the caps of year and balance leave room.';

CREATE FUNCTION payroll.post_accruals(pay_period uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    member record;
    earned numeric;
    posted integer := 0;
BEGIN
    FOR member IN
        SELECT e.time_off_enrollment_id, d.starts_on, d.ends_on,
               least(d.ends_on, e.ended_on) AS entry_date, s.months_to_next
        FROM payroll.pay_period AS d
        JOIN payroll.pay_schedule AS c
            ON c.business_id = d.business_id AND c.pay_schedule_id = d.pay_schedule_id
        JOIN payroll.employee AS p
            ON p.business_id = c.business_id AND p.employer_entity_id = c.employer_entity_id
        JOIN payroll.time_off_enrollment AS e
            ON e.business_id = p.business_id AND e.employee_id = p.employee_id
           AND e.enrolled_on <= d.ends_on AND coalesce(e.ended_on >= d.starts_on, true)
        LEFT JOIN LATERAL (
            SELECT min(t.from_service_months) - payroll.service_months(e.employee_id, d.ends_on)
                AS months_to_next
            FROM payroll.accrual_tier AS t
            WHERE t.business_id = e.business_id AND t.time_off_policy_id = e.time_off_policy_id
              AND t.from_service_months > payroll.service_months(e.employee_id, d.ends_on)
        ) AS s ON true
        WHERE d.business_id = tenant AND d.pay_period_id = pay_period
          -- Whose hours stand in the period of another schedule is credited with that one.
          AND NOT EXISTS (
              SELECT FROM payroll.timesheet AS t
              JOIN payroll.pay_period AS x
                  ON x.business_id = t.business_id AND x.pay_period_id = t.pay_period_id
              WHERE t.business_id = e.business_id AND t.employee_id = e.employee_id
                AND x.pay_schedule_id <> d.pay_schedule_id
                AND daterange(x.starts_on, x.ends_on, '[]')
                    && daterange(d.starts_on, d.ends_on, '[]'))
        ORDER BY e.time_off_enrollment_id
    LOOP
        -- Whoever posts the same period at the same time waits here and finds it posted.
        PERFORM FROM payroll.time_off_enrollment AS e
        WHERE e.business_id = tenant AND e.time_off_enrollment_id = member.time_off_enrollment_id
        FOR NO KEY UPDATE;
        CONTINUE WHEN EXISTS (
            SELECT FROM payroll.time_off_ledger_entry AS l
            JOIN payroll.pay_period AS x
                ON x.business_id = l.business_id AND x.pay_period_id = l.pay_period_key
            WHERE l.business_id = tenant
              AND l.time_off_enrollment_id = member.time_off_enrollment_id
              AND l.entry_kind = 'accrual' AND NOT l.is_reversed
              AND daterange(x.starts_on, x.ends_on, '[]')
                  && daterange(member.starts_on, member.ends_on, '[]'));
        earned := payroll.accrual_due(member.time_off_enrollment_id, pay_period);
        CONTINUE WHEN earned = 0;
        INSERT INTO payroll.time_off_ledger_entry
            (business_id, time_off_enrollment_id, entry_date, entry_kind, hours, pay_period_key,
             posted_by_job)
        VALUES (tenant, member.time_off_enrollment_id, member.entry_date, 'accrual', earned,
                pay_period, 'post_accruals');
        UPDATE payroll.time_off_enrollment AS e
        SET next_tier_on = (member.entry_date
                            + make_interval(months => member.months_to_next))::date
        WHERE e.business_id = tenant AND e.time_off_enrollment_id = member.time_off_enrollment_id
          AND member.months_to_next IS NOT NULL;
        posted := posted + 1;
    END LOOP;
    RETURN posted;
END
$$;
COMMENT ON FUNCTION payroll.post_accruals(uuid) IS
    'Credits everybody of the calling tenant whom the employer of a pay period pays with what the
     period earned: no day twice, also where two schedules overlap; a reversed accrual is posted
     anew. Returns how many entries it made.';

CREATE FUNCTION payroll.carry_over(policy uuid, year_end date) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    member record;
    excess numeric;
    cut    integer := 0;
BEGIN
    FOR member IN
        SELECT e.time_off_enrollment_id, p.carryover_hours
        FROM payroll.time_off_enrollment AS e
        JOIN payroll.time_off_policy AS p
            ON p.business_id = e.business_id AND p.time_off_policy_id = e.time_off_policy_id
        WHERE e.business_id = tenant AND e.time_off_policy_id = policy
          AND e.enrolled_on <= year_end AND coalesce(e.ended_on > year_end, true)
        ORDER BY e.time_off_enrollment_id
        FOR NO KEY UPDATE OF e
    LOOP
        CONTINUE WHEN EXISTS (
            SELECT FROM payroll.time_off_ledger_entry AS l
            WHERE l.business_id = tenant
              AND l.time_off_enrollment_id = member.time_off_enrollment_id
              AND l.entry_kind = 'expiry' AND l.entry_date = year_end AND NOT l.is_reversed);
        -- What is asked for already is not lost.
        SELECT greatest(0, e.balance_hours - e.pending_hours - member.carryover_hours) INTO excess
        FROM payroll.time_off_enrollment AS e
        WHERE e.business_id = tenant AND e.time_off_enrollment_id = member.time_off_enrollment_id;
        IF excess > 0 THEN
            INSERT INTO payroll.time_off_ledger_entry
                (business_id, time_off_enrollment_id, entry_date, entry_kind, hours, reason,
                 posted_by_job)
            VALUES (tenant, member.time_off_enrollment_id, year_end, 'expiry', - excess,
                    'Above what is carried over', 'carry_over');
            cut := cut + 1;
        END IF;
        UPDATE payroll.time_off_enrollment AS e
        SET carryover_hours = greatest(0, e.balance_hours)
        WHERE e.business_id = tenant AND e.time_off_enrollment_id = member.time_off_enrollment_id;
    END LOOP;
    RETURN cut;
END
$$;
COMMENT ON FUNCTION payroll.carry_over(uuid, date) IS
    'Ends a year of a plan of the calling tenant: what is above its carry-over expires, the rest is
     noted as carried over. Returns how many lost hours.';


CREATE VIEW payroll.v_time_off_balance WITH (security_invoker = true) AS
SELECT e.business_id, e.time_off_enrollment_id, e.employee_id, p.time_off_policy_id, p.code,
       p.name, p.leave_kind, e.balance_hours, e.pending_hours,
       e.balance_hours - e.pending_hours AS projected_hours,
       CASE WHEN p.accrual_method <> 'unlimited'
            THEN e.balance_hours - e.pending_hours + p.allows_negative_hours END AS available_hours,
       e.accrued_ytd_hours, e.used_ytd_hours, e.enrolled_on + p.waiting_days AS usable_from,
       e.last_posted_on, e.next_tier_on
FROM payroll.time_off_enrollment AS e
JOIN payroll.time_off_policy AS p
    ON p.business_id = e.business_id AND p.time_off_policy_id = e.time_off_policy_id
WHERE e.ended_on IS NULL;
COMMENT ON VIEW payroll.v_time_off_balance IS
    'Balance, pending and projected balance per employee and policy: what is left when all that was
     asked for is taken, and what may still be asked for (NULL: without limit).';
GRANT SELECT ON payroll.v_time_off_balance TO app_user, app_readonly;
