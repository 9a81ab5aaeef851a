/*
 * Timesheets: hours of a pay period, from punches to what payroll pays.
 *
 * build_timesheet() makes a timesheet of an employee's clock_punches: it pairs and rounds them,
 * cuts them at midnight and where a premium begins, and divides each workweek into regular time,
 * overtime and double time by the rule that is better for the employee. Each timesheet_entry is a
 * block of a day with its job, earning code and premium; the hours of the sheet are their sums.
 * What does not fit the plan becomes an attendance_exception for the supervisor. Entries made by
 * hand stay when a sheet is built again; all others are made anew.
 */

CREATE TABLE payroll.timesheet (
    business_id        uuid          NOT NULL,
    timesheet_id       uuid          NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id        uuid          NOT NULL,
    pay_period_id      uuid          NOT NULL,
    approved_by        uuid,
    status             text          NOT NULL DEFAULT 'open',
    submitted_at       timestamptz,
    approved_at        timestamptz,
    regular_hours      numeric(9, 4) NOT NULL DEFAULT 0,
    overtime_hours     numeric(9, 4) NOT NULL DEFAULT 0,
    doubletime_hours   numeric(9, 4) NOT NULL DEFAULT 0,
    pto_hours          numeric(9, 4) NOT NULL DEFAULT 0,
    holiday_hours      numeric(9, 4) NOT NULL DEFAULT 0,
    unpaid_hours       numeric(9, 4) NOT NULL DEFAULT 0,
    employee_attested  boolean       NOT NULL DEFAULT false,
    attestation_answer text,
    rejection_reason   text,
    created_at         timestamptz   NOT NULL DEFAULT now(),
    updated_at         timestamptz   NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, timesheet_id),
    UNIQUE (business_id, employee_id, pay_period_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, approved_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT timesheet_status_known
        CHECK (status IN ('open', 'submitted', 'approved', 'rejected', 'locked', 'amended')),
    CONSTRAINT timesheet_approved_after_submission CHECK (approved_at >= submitted_at),
    CONSTRAINT timesheet_submitted_has_time CHECK (status = 'open' OR submitted_at IS NOT NULL),
    CONSTRAINT timesheet_approved_has_time
        CHECK (status NOT IN ('approved', 'locked', 'amended') OR approved_at IS NOT NULL),
    CONSTRAINT timesheet_rejected_has_reason
        CHECK (status <> 'rejected' OR coalesce(rejection_reason, '') ~ '\S'),
    CONSTRAINT timesheet_hours_not_negative
        CHECK (regular_hours >= 0 AND overtime_hours >= 0 AND doubletime_hours >= 0
               AND pto_hours >= 0 AND holiday_hours >= 0 AND unpaid_hours >= 0)
);

COMMENT ON TABLE payroll.timesheet IS
    'Hours of an employee in a pay period from open to locked; their sums follow its entries.';
COMMENT ON COLUMN payroll.timesheet.regular_hours IS
    'Worked straight time, training, travel and on-call work among it.';
COMMENT ON COLUMN payroll.timesheet.unpaid_hours IS
    'Time off whose earning code pays nothing.';
COMMENT ON COLUMN payroll.timesheet.employee_attested IS
    'The employee confirmed hours and meals before it was sent.';

-- FK: the sheets that somebody approved.
CREATE INDEX timesheet_approved_by_idx
    ON payroll.timesheet (business_id, approved_by)
    WHERE approved_by IS NOT NULL;

-- FK: the approval board of a period.
CREATE INDEX timesheet_pay_period_idx
    ON payroll.timesheet (business_id, pay_period_id, status);

ALTER TABLE payroll.timesheet ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.timesheet
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.timesheet TO app_user;
GRANT SELECT ON payroll.timesheet TO app_readonly;

CREATE TRIGGER timesheet_touch
    BEFORE UPDATE ON payroll.timesheet
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER timesheet_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.timesheet
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open"],
        "transitions": {
            "open":      ["submitted"],
            "submitted": ["approved", "rejected"],
            "rejected":  ["submitted"],
            "approved":  ["locked", "rejected"],
            "locked":    ["amended"],
            "amended":   ["locked"]
        }}');


CREATE TABLE payroll.timesheet_entry (
    business_id          uuid              NOT NULL,
    timesheet_entry_id   uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    timesheet_id         uuid              NOT NULL,
    job_assignment_id    uuid              NOT NULL,
    earning_code_id      uuid              NOT NULL,
    department_id        uuid,
    overtime_rule_id     uuid,
    work_date            date              NOT NULL,
    started_at           timestamptz,
    ended_at             timestamptz,
    hours                numeric(9, 4)     NOT NULL,
    entry_kind           text              NOT NULL,
    in_punch_key         uuid,
    out_punch_key        uuid,
    rate_override_amount system_core.money,
    piece_count          integer,
    project_code         system_core.code,
    is_manual            boolean           NOT NULL DEFAULT false,
    manual_reason        text,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, timesheet_entry_id),
    FOREIGN KEY (business_id, timesheet_id)
        REFERENCES payroll.timesheet (business_id, timesheet_id),
    FOREIGN KEY (business_id, job_assignment_id)
        REFERENCES payroll.job_assignment (business_id, job_assignment_id),
    FOREIGN KEY (business_id, department_id)
        REFERENCES payroll.department (business_id, department_id),
    FOREIGN KEY (business_id, overtime_rule_id)
        REFERENCES payroll.overtime_rule (business_id, overtime_rule_id),
    CONSTRAINT timesheet_entry_kind_known
        CHECK (entry_kind IN ('regular', 'overtime', 'doubletime', 'meal_penalty', 'pto',
                              'holiday', 'training', 'travel', 'on_call')),
    CONSTRAINT timesheet_entry_hours_of_a_day CHECK (hours > 0 AND hours <= 24),
    CONSTRAINT timesheet_entry_ends_after_start CHECK (ended_at > started_at),
    CONSTRAINT timesheet_entry_manual_says_why
        CHECK (NOT is_manual OR coalesce(manual_reason, '') ~ '\S'),
    CONSTRAINT timesheet_entry_pieces_not_negative
        CHECK (piece_count >= 0 AND rate_override_amount > 0)
);

COMMENT ON TABLE payroll.timesheet_entry IS
    'Paid block of a day with its earning code and cost split.';
COMMENT ON COLUMN payroll.timesheet_entry.department_id IS
    'Who bears the cost, where it is not the department of the job.';
COMMENT ON COLUMN payroll.timesheet_entry.rate_override_amount IS
    'Pay of an hour where it is not the rate of the job: what a premium adds, or by hand.';
COMMENT ON COLUMN payroll.timesheet_entry.in_punch_key IS
    'The punch that opened the block; NULL for what no punch brought. Its partition may be gone.';

-- FK: the entries of a sheet, day by day.
CREATE INDEX timesheet_entry_timesheet_idx
    ON payroll.timesheet_entry (business_id, timesheet_id, work_date);

-- FK: hours in a job, day by day: regular rates, leave entitlements.
CREATE INDEX timesheet_entry_job_assignment_idx
    ON payroll.timesheet_entry (business_id, job_assignment_id, work_date);

-- FK: what a code paid.
CREATE INDEX timesheet_entry_earning_code_idx
    ON payroll.timesheet_entry (business_id, earning_code_id);

-- FK: hours that another department bears.
CREATE INDEX timesheet_entry_department_idx
    ON payroll.timesheet_entry (business_id, department_id)
    WHERE department_id IS NOT NULL;

-- FK: the overtime that a rule brought.
CREATE INDEX timesheet_entry_overtime_rule_idx
    ON payroll.timesheet_entry (business_id, overtime_rule_id)
    WHERE overtime_rule_id IS NOT NULL;

ALTER TABLE payroll.timesheet_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.timesheet_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.timesheet_entry TO app_user;
GRANT SELECT ON payroll.timesheet_entry TO app_readonly;

CREATE TRIGGER timesheet_entry_touch
    BEFORE UPDATE ON payroll.timesheet_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.timesheet_sums(
    sheets uuid[],
    tenant uuid DEFAULT tenant_mgmt.current_business_id()
) RETURNS TABLE (timesheet_id uuid, regular_hours numeric, overtime_hours numeric,
                 doubletime_hours numeric, pto_hours numeric, holiday_hours numeric,
                 unpaid_hours numeric)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT s.id,
           coalesce(sum(e.hours) FILTER (
               WHERE e.entry_kind IN ('regular', 'training', 'travel', 'on_call')
                 AND k.earning_kind <> 'premium'), 0),
           coalesce(sum(e.hours) FILTER (WHERE e.entry_kind = 'overtime'), 0),
           coalesce(sum(e.hours) FILTER (WHERE e.entry_kind = 'doubletime'), 0),
           coalesce(sum(e.hours) FILTER (
               WHERE e.entry_kind = 'pto' AND coalesce(k.multiplier, 1) <> 0), 0),
           coalesce(sum(e.hours) FILTER (WHERE e.entry_kind = 'holiday'), 0),
           coalesce(sum(e.hours) FILTER (
               WHERE e.entry_kind = 'pto' AND k.multiplier = 0), 0)
    FROM unnest(sheets) AS s (id)
    LEFT JOIN payroll.timesheet_entry AS e ON e.business_id = tenant AND e.timesheet_id = s.id
    LEFT JOIN payroll.earning_code AS k
        ON k.business_id = e.business_id AND k.earning_code_id = e.earning_code_id
    GROUP BY s.id;
END
$$;
COMMENT ON FUNCTION payroll.timesheet_sums(uuid[], uuid) IS
    'The hours of sheets by their kind. A premium or meal penalty is pay beside the hours and
     counts in none; time off whose earning code multiplies by zero is unpaid. All at once: looked
     up one by one, the sheets of a tenant of which the planner knows nothing yet take forever.';

CREATE FUNCTION payroll.keep_timesheet() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    is_live CONSTANT boolean := row_security_active(TG_RELID);
    wrong   record;
BEGIN
    -- Two that change one sheet wait for each other; many sheets are taken in one order.
    PERFORM FROM payroll.timesheet AS t
    WHERE (t.business_id, t.timesheet_id) IN (SELECT c.business_id, c.timesheet_id
                                              FROM changed AS c)
    ORDER BY t.timesheet_id
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT t.timesheet_id, t.status INTO wrong
    FROM changed AS c
    JOIN payroll.timesheet AS t
        ON t.business_id = c.business_id AND t.timesheet_id = c.timesheet_id
    WHERE t.status IN ('approved', 'locked') AND is_live
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'timesheet % is %: its entries stand', wrong.timesheet_id, wrong.status
            USING ERRCODE = 'check_violation',
                  HINT = 'Reject it, or amend it if it is locked, then change it.';
    END IF;
    IF TG_OP <> 'DELETE' THEN
        -- Each with its sheet first: a plan for one row that is wrong tries all periods of each.
        WITH entry AS MATERIALIZED (
            SELECT c.work_date, t.business_id, t.pay_period_id
            FROM changed AS c
            JOIN payroll.timesheet AS t
                ON t.business_id = c.business_id AND t.timesheet_id = c.timesheet_id
        )
        SELECT e.work_date, p.starts_on, p.ends_on INTO wrong
        FROM entry AS e
        JOIN payroll.pay_period AS p
            ON p.business_id = e.business_id AND p.pay_period_id = e.pay_period_id
        WHERE e.work_date NOT BETWEEN p.starts_on AND p.ends_on
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION '% is outside of the pay period from % to %', wrong.work_date,
                            wrong.starts_on, wrong.ends_on
                USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    UPDATE payroll.timesheet AS t
    SET regular_hours = s.regular_hours, overtime_hours = s.overtime_hours,
        doubletime_hours = s.doubletime_hours, pto_hours = s.pto_hours,
        holiday_hours = s.holiday_hours, unpaid_hours = s.unpaid_hours
    FROM (
        SELECT x.business_id, array_agg(DISTINCT x.timesheet_id) AS sheets
        FROM changed AS x
        GROUP BY x.business_id
    ) AS c
    CROSS JOIN LATERAL payroll.timesheet_sums(c.sheets, c.business_id) AS s
    WHERE t.business_id = c.business_id AND t.timesheet_id = s.timesheet_id
      AND (t.regular_hours, t.overtime_hours, t.doubletime_hours, t.pto_hours, t.holiday_hours,
           t.unpaid_hours) IS DISTINCT FROM
          (s.regular_hours, s.overtime_hours, s.doubletime_hours, s.pto_hours, s.holiday_hours,
           s.unpaid_hours);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.keep_timesheet() IS
    'The hours of a sheet are the sums of its entries, its entries are days of its pay period, and
     what was approved or locked is changed no more. Imported entries go with imported sheets.';

CREATE TRIGGER timesheet_entry_sums_on_insert
    AFTER INSERT ON payroll.timesheet_entry
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.keep_timesheet();

CREATE TRIGGER timesheet_entry_sums_on_update
    AFTER UPDATE ON payroll.timesheet_entry
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.keep_timesheet();

CREATE TRIGGER timesheet_entry_sums_on_delete
    AFTER DELETE ON payroll.timesheet_entry
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.keep_timesheet();

-- An entry stays on its sheet; another sheet gets another entry.
CREATE TRIGGER timesheet_entry_stays
    BEFORE UPDATE OF timesheet_id ON payroll.timesheet_entry
    FOR EACH ROW WHEN (OLD.timesheet_id <> NEW.timesheet_id)
    EXECUTE FUNCTION system_core.refuse_change('payroll.timesheet_entry');

CREATE FUNCTION payroll.timesheet_differences()
    RETURNS TABLE (timesheet_id uuid, said numeric[], found numeric[])
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT t.timesheet_id, h.said, h.found
    FROM payroll.timesheet_sums(ARRAY(
        SELECT x.timesheet_id
        FROM payroll.timesheet AS x
        WHERE x.business_id = tenant_mgmt.current_business_id())) AS s
    JOIN payroll.timesheet AS t
        ON t.business_id = tenant_mgmt.current_business_id() AND t.timesheet_id = s.timesheet_id
    CROSS JOIN LATERAL (
        SELECT ARRAY[t.regular_hours, t.overtime_hours, t.doubletime_hours, t.pto_hours,
                     t.holiday_hours, t.unpaid_hours] AS said,
               ARRAY[s.regular_hours, s.overtime_hours, s.doubletime_hours, s.pto_hours,
                     s.holiday_hours, s.unpaid_hours] AS found
    ) AS h
    WHERE h.said <> h.found;
END;
COMMENT ON FUNCTION payroll.timesheet_differences() IS
    'Proves the sheets of the calling tenant: those whose hours are not the sums of their entries.';


CREATE TABLE payroll.attendance_exception (
    business_id             uuid                 NOT NULL,
    attendance_exception_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id             uuid                 NOT NULL,
    scheduled_shift_id      uuid,
    timesheet_id            uuid,
    resolved_by             uuid,
    consent_file_object_id  uuid,
    exception_date          date                 NOT NULL,
    kind                    text                 NOT NULL,
    minutes                 integer              NOT NULL DEFAULT 0,
    detected_at             timestamptz          NOT NULL DEFAULT now(),
    status                  text                 NOT NULL DEFAULT 'open',
    points                  system_core.quantity NOT NULL DEFAULT 0,
    resolution_note         text,
    resolved_at             timestamptz,
    employee_comment        text,
    created_at              timestamptz          NOT NULL DEFAULT now(),
    updated_at              timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, attendance_exception_id),
    UNIQUE (business_id, employee_id, exception_date, kind),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, scheduled_shift_id)
        REFERENCES payroll.scheduled_shift (business_id, scheduled_shift_id),
    FOREIGN KEY (business_id, timesheet_id)
        REFERENCES payroll.timesheet (business_id, timesheet_id),
    FOREIGN KEY (business_id, resolved_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, consent_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT attendance_exception_kind_known
        CHECK (kind IN ('late_in', 'early_out', 'missing_punch', 'no_show', 'unscheduled_work',
                        'missed_meal', 'short_meal', 'unapproved_overtime', 'outside_geofence',
                        'buddy_punch_suspect')),
    CONSTRAINT attendance_exception_status_known
        CHECK (status IN ('open', 'excused', 'corrected', 'unexcused', 'waived')),
    CONSTRAINT attendance_exception_minutes_not_negative CHECK (minutes >= 0),
    CONSTRAINT attendance_exception_points_bounded CHECK (points BETWEEN 0 AND 3),
    CONSTRAINT attendance_exception_points_for_unexcused
        CHECK (points = 0 OR status IN ('open', 'unexcused')),
    CONSTRAINT attendance_exception_resolved_after_detection CHECK (resolved_at >= detected_at),
    CONSTRAINT attendance_exception_resolved_has_time
        CHECK ((resolved_at IS NULL) = (status = 'open')),
    CONSTRAINT attendance_exception_meal_waived_with_consent
        CHECK (status <> 'waived' OR kind NOT IN ('missed_meal', 'short_meal')
               OR consent_file_object_id IS NOT NULL)
);

COMMENT ON TABLE payroll.attendance_exception IS
    'Late, early, missed punch, no-show, short meal or unapproved overtime to resolve; one of a kind
     a day.';
COMMENT ON COLUMN payroll.attendance_exception.points IS
    'Counted over twelve months once it is unexcused: attendance_points().';
COMMENT ON COLUMN payroll.attendance_exception.consent_file_object_id IS
    'What the employee signed: a meal is only waived by who would have had it.';

-- FK: what somebody resolved.
CREATE INDEX attendance_exception_resolved_by_idx
    ON payroll.attendance_exception (business_id, resolved_by)
    WHERE resolved_by IS NOT NULL;

-- FK: what became of a shift.
CREATE INDEX attendance_exception_scheduled_shift_idx
    ON payroll.attendance_exception (business_id, scheduled_shift_id)
    WHERE scheduled_shift_id IS NOT NULL;

-- FK: what is open on a sheet: the approval board.
CREATE INDEX attendance_exception_timesheet_idx
    ON payroll.attendance_exception (business_id, timesheet_id)
    WHERE timesheet_id IS NOT NULL;

-- FK: the waivers that a file backs.
CREATE INDEX attendance_exception_consent_file_object_idx
    ON payroll.attendance_exception (business_id, consent_file_object_id)
    WHERE consent_file_object_id IS NOT NULL;

ALTER TABLE payroll.attendance_exception ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.attendance_exception
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.attendance_exception TO app_user;
GRANT SELECT ON payroll.attendance_exception TO app_readonly;

CREATE TRIGGER attendance_exception_touch
    BEFORE UPDATE ON payroll.attendance_exception
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.attendance_points(employee uuid, on_date date DEFAULT current_date)
    RETURNS numeric
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(sum(x.points), 0)
    FROM payroll.attendance_exception AS x
    WHERE x.business_id = tenant_mgmt.current_business_id()
      AND x.employee_id = attendance_points.employee AND x.status = 'unexcused'
      AND x.exception_date > (on_date - interval '12 months')::date
      AND x.exception_date <= on_date;
END;
COMMENT ON FUNCTION payroll.attendance_points(uuid, date) IS
    'Points of an employee of the calling tenant over the twelve months up to a day.';


CREATE FUNCTION payroll.guard_timesheet() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    IF OLD.status = NEW.status THEN
        IF OLD.status = 'locked' THEN
            RAISE EXCEPTION 'timesheet % is locked', OLD.timesheet_id
                USING ERRCODE = 'check_violation', HINT = 'Amend it, change it, lock it again.';
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.status = 'submitted' THEN
        NEW.submitted_at := now();
        NEW.approved_at := NULL;
        NEW.approved_by := NULL;
        NEW.rejection_reason := NULL;
    ELSIF NEW.status = 'rejected' THEN
        NEW.approved_at := NULL;
        NEW.approved_by := NULL;
    ELSIF NEW.status = 'approved' THEN
        NEW.approved_at := coalesce(NEW.approved_at, now());
        IF EXISTS (
            SELECT FROM payroll.employee AS p
            WHERE p.business_id = NEW.business_id AND p.employee_id = NEW.employee_id
              AND p.user_account_id = NEW.approved_by) THEN
            RAISE EXCEPTION 'nobody approves their own hours'
                USING ERRCODE = 'check_violation', HINT = 'Let the supervisor approve.';
        END IF;
        IF EXISTS (
            SELECT FROM payroll.attendance_exception AS x
            WHERE x.business_id = NEW.business_id AND x.timesheet_id = NEW.timesheet_id
              AND x.kind = 'missing_punch' AND x.status = 'open') THEN
            RAISE EXCEPTION 'timesheet % lacks a punch: its hours are not known', NEW.timesheet_id
                USING ERRCODE = 'check_violation', HINT = 'Correct the punch and build it again.';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.guard_timesheet() IS
    'Notes when a sheet was sent and approved; nobody approves their own, nor one that lacks a
     punch, and a locked one only changes by being amended. Imported sheets bring their times.';

-- After the state machine: it is named later.
CREATE TRIGGER timesheet_times_and_approval
    BEFORE UPDATE ON payroll.timesheet
    FOR EACH ROW EXECUTE FUNCTION payroll.guard_timesheet();


CREATE FUNCTION payroll.watch_punch() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := NEW.business_id;
    former record;
    clock  record;
    found  text[] := '{}';
    zone   text;
BEGIN
    IF NOT row_security_active(TG_RELID) OR NEW.source IN ('supervisor', 'import') THEN
        RETURN NULL;
    END IF;
    SELECT l.time_zone INTO zone
    FROM payroll.employee AS p
    JOIN payroll.work_location AS l
        ON l.business_id = p.business_id AND l.work_location_id = p.primary_work_location_id
    WHERE p.business_id = tenant AND p.employee_id = NEW.employee_id;
    SELECT c.requires_photo, c.photo_match_minimum INTO clock
    FROM payroll.time_clock AS c
    WHERE c.business_id = tenant AND c.time_clock_id = NEW.time_clock_id;
    SELECT p.punch_kind, p.punched_at, p.time_clock_id INTO former
    FROM payroll.clock_punch AS p
    WHERE p.business_id = tenant AND p.employee_id = NEW.employee_id AND NOT p.is_superseded
      AND p.clock_punch_id <> NEW.clock_punch_id
      AND p.punched_at <= NEW.punched_at AND p.punched_at > NEW.punched_at - interval '24 hours'
    ORDER BY p.punched_at DESC, p.clock_punch_id DESC
    LIMIT 1;
    IF NOT NEW.inside_geofence THEN
        found := found || 'outside_geofence'::text;
    END IF;
    -- A face that is not the one on file, or two clocks that saw the same within two minutes.
    IF clock.requires_photo AND coalesce(NEW.photo_match_score, 0) < clock.photo_match_minimum
       OR former.punch_kind = NEW.punch_kind AND former.time_clock_id <> NEW.time_clock_id
          AND NEW.punched_at - former.punched_at < interval '2 minutes' THEN
        found := found || 'buddy_punch_suspect'::text;
    END IF;
    -- Who is out can only come in; who is in cannot come in once more.
    IF NEW.punch_kind = 'in' AND former.punch_kind IS NOT NULL AND former.punch_kind <> 'out'
       OR NEW.punch_kind = 'meal_end' AND former.punch_kind IS DISTINCT FROM 'meal_start'
       OR NEW.punch_kind = 'break_end' AND former.punch_kind IS DISTINCT FROM 'break_start'
       OR NEW.punch_kind IN ('out', 'meal_start', 'break_start', 'transfer')
          AND (former.punch_kind IS NULL OR former.punch_kind IN ('out', 'meal_start')) THEN
        found := found || 'missing_punch'::text;
    END IF;
    INSERT INTO payroll.attendance_exception (business_id, employee_id, exception_date, kind)
    SELECT tenant, NEW.employee_id, (NEW.punched_at AT TIME ZONE zone)::date, k.kind
    FROM unnest(found) AS k (kind)
    ON CONFLICT DO NOTHING;   -- one of a kind a day
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.watch_punch() IS
    'Raises an exception for a punch outside of the fence, by another''s face or at two clocks at
     once, and in an impossible order. The punch itself is never refused: hours worked are owed.';

CREATE TRIGGER clock_punch_watch
    AFTER INSERT ON payroll.clock_punch
    FOR EACH ROW EXECUTE FUNCTION payroll.watch_punch();


CREATE FUNCTION payroll.rounded_punch(
    moment   timestamptz,
    minutes  integer,
    mode     text,
    is_start boolean
) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN mode = 'none' OR minutes = 0 THEN date_trunc('minute', moment, 'UTC')
        ELSE date_bin(
            make_interval(mins => minutes),
            moment + CASE WHEN mode = 'nearest' THEN make_interval(secs => minutes * 30)
                          WHEN is_start THEN interval '0'
                          ELSE make_interval(mins => minutes) - interval '1 microsecond' END,
            timestamptz '2000-01-01 00:00+00') END;
COMMENT ON FUNCTION payroll.rounded_punch(timestamptz, integer, text, boolean) IS
    'When a block is paid from or to: to the minute, to the nearest step, or to the step that is
     better for the employee.';

CREATE FUNCTION payroll.work_blocks(employee uuid, first_day date, last_day date)
    RETURNS TABLE (started_at timestamptz, ended_at timestamptz, paid_from timestamptz,
                   paid_until timestamptz, in_kind text, out_kind text, in_punch uuid,
                   out_punch uuid, job_assignment_id uuid, department_id uuid,
                   work_location_id uuid, time_zone text, shift_day date)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH punch AS (
        SELECT p.clock_punch_id, p.punched_at, p.punch_kind, p.department_code,
               -- After a meal the work before it goes on.
               coalesce(p.job_assignment_id,
                        (max(p.job_assignment_id::text) OVER spell)::uuid) AS job,
               p.spell
        FROM (
            SELECT x.*, count(*) FILTER (WHERE x.punch_kind IN ('in', 'transfer'))
                            OVER (ORDER BY x.punched_at, x.clock_punch_id) AS spell
            FROM payroll.clock_punch AS x
            WHERE x.business_id = tenant_mgmt.current_business_id()
              AND x.employee_id = work_blocks.employee AND NOT x.is_superseded
              AND x.punch_kind NOT IN ('break_start', 'break_end')   -- rest is paid
              AND x.punched_at >= (first_day - 1)::timestamp AT TIME ZONE 'UTC'
              AND x.punched_at < (last_day + 3)::timestamp AT TIME ZONE 'UTC'
        ) AS p
        WINDOW spell AS (PARTITION BY p.spell)
    ), pair AS (
        SELECT p.*,
               lead(p.punched_at) OVER line AS next_at, lead(p.punch_kind) OVER line AS next_kind,
               lead(p.clock_punch_id) OVER line AS next_id
        FROM punch AS p
        WINDOW line AS (ORDER BY p.punched_at, p.clock_punch_id)
    )
    SELECT b.punched_at, b.next_at,
           CASE WHEN b.punch_kind = 'in'
                THEN payroll.rounded_punch(b.punched_at, j.minutes, j.mode, true)
                ELSE payroll.rounded_punch(b.punched_at, 0, 'none', true) END,
           CASE WHEN b.next_kind = 'out'
                THEN payroll.rounded_punch(b.next_at, j.minutes, j.mode, false)
                ELSE payroll.rounded_punch(b.next_at, 0, 'none', false) END,
           b.punch_kind, b.next_kind, b.clock_punch_id, b.next_id, j.job_assignment_id,
           d.department_id, j.work_location_id, j.time_zone,
           max(CASE WHEN b.punch_kind = 'in' THEN (b.punched_at AT TIME ZONE j.time_zone)::date END)
               OVER (ORDER BY b.punched_at)
    FROM pair AS b
    CROSS JOIN LATERAL (
        SELECT a.job_assignment_id, a.work_location_id, l.time_zone,
               coalesce(s.rounding_minutes, 0) AS minutes, coalesce(s.rounding_mode, 'none') AS mode
        FROM payroll.job_assignment AS a
        JOIN payroll.work_location AS l
            ON l.business_id = a.business_id AND l.work_location_id = a.work_location_id
        LEFT JOIN payroll.work_schedule AS s
            ON s.business_id = a.business_id AND s.work_schedule_id = a.work_schedule_id
        WHERE a.business_id = tenant_mgmt.current_business_id()
          AND a.employee_id = work_blocks.employee
          AND daterange(a.effective_from, a.effective_until)
              @> (b.punched_at AT TIME ZONE l.time_zone)::date
        ORDER BY a.job_assignment_id IS NOT DISTINCT FROM b.job DESC, a.is_primary DESC,
                 a.job_assignment_id
        LIMIT 1
    ) AS j
    LEFT JOIN payroll.department AS d
        ON d.business_id = tenant_mgmt.current_business_id() AND d.code = b.department_code
    WHERE b.punch_kind IN ('in', 'meal_end', 'transfer')
      AND b.next_kind IN ('out', 'meal_start', 'transfer')
      AND b.next_at - b.punched_at BETWEEN interval '1 minute' AND interval '24 hours'
    ORDER BY b.punched_at;
END;
COMMENT ON FUNCTION payroll.work_blocks(uuid, date, date) IS
    'Punches of an employee of the calling tenant as blocks of work around some days, with job,
     place and what is paid of them. Meals are not rounded: one of 25 minutes must not become one
     of 30. A punch without its other half makes no block.';
