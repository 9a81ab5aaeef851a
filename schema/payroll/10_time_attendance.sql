/*
 * Time and attendance: what was planned, what the clocks saw, and which rules turn hours into pay.
 *
 * A work_schedule is a pattern of days; schedule_shifts() lays it out as scheduled_shifts of those
 * whose job follows it. A time_clock stands at a work_location, perhaps with a fence around it; a
 * clock_punch is what somebody did there, kept as it came and at most superseded by a correction.
 * An overtime_rule says when overtime, double time and a missed meal begin to cost, a
 * pay_premium_rule what nights, weekends or hazards add. 12_timesheets.sql makes pay of it.
 */

CREATE FUNCTION payroll.pattern_fits(pattern jsonb, cycle_days integer) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(bool_and(coalesce(
               d.day BETWEEN 1 AND cycle_days AND d.starts_at <> d.ends_at
               AND d.starts_at ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'
               AND d.ends_at ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'
               AND d.break_minutes BETWEEN 0 AND 240, false)), true)
    FROM JSON_TABLE(pattern, '$[*]' COLUMNS (
             day           integer PATH '$.day',
             starts_at     text    PATH '$.start',
             ends_at       text    PATH '$.end',
             break_minutes integer PATH '$.break' DEFAULT 0 ON EMPTY)) AS d;
END;
COMMENT ON FUNCTION payroll.pattern_fits(jsonb, integer) IS
    'Whether every element of a pattern is a day of its cycle with a start, another end and a break
     of at most four hours; an end before the start is the next day''s.';


CREATE TABLE payroll.work_schedule (
    business_id         uuid                   NOT NULL,
    work_schedule_id    uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    code                system_core.code       NOT NULL,
    name                text                   NOT NULL,
    pattern_kind        text                   NOT NULL,
    cycle_days          integer                NOT NULL DEFAULT 7,
    cycle_starts_on     date                   NOT NULL,
    pattern             system_core.json_array NOT NULL DEFAULT '[]',
    weekly_hours        numeric(9, 4)          NOT NULL DEFAULT 40,
    rounding_minutes    integer                NOT NULL DEFAULT 0,
    rounding_mode       text                   NOT NULL DEFAULT 'none',
    early_grace_minutes integer                NOT NULL DEFAULT 5,
    late_grace_minutes  integer                NOT NULL DEFAULT 5,
    workweek_starts_on  text                   NOT NULL DEFAULT 'sunday',
    is_active           boolean                NOT NULL DEFAULT true,
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, work_schedule_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT work_schedule_pattern_kind_known
        CHECK (pattern_kind IN ('fixed', 'rotating', 'flexible', 'on_call')),
    CONSTRAINT work_schedule_rounding_mode_known
        CHECK (rounding_mode IN ('nearest', 'employee_favor', 'none')),
    CONSTRAINT work_schedule_workweek_starts_on_known
        CHECK (workweek_starts_on IN ('sunday', 'monday', 'saturday')),
    CONSTRAINT work_schedule_rounding_minutes_known
        CHECK (rounding_minutes IN (0, 1, 5, 6, 10, 15)),
    CONSTRAINT work_schedule_rounds_by_minutes
        CHECK ((rounding_mode = 'none') = (rounding_minutes = 0)),
    CONSTRAINT work_schedule_weekly_hours_bounded CHECK (weekly_hours BETWEEN 0 AND 100),
    CONSTRAINT work_schedule_grace_not_negative
        CHECK (early_grace_minutes >= 0 AND late_grace_minutes >= 0),
    CONSTRAINT work_schedule_cycle_bounded CHECK (cycle_days BETWEEN 1 AND 56),
    CONSTRAINT work_schedule_fixed_is_weekly CHECK (pattern_kind <> 'fixed' OR cycle_days = 7),
    CONSTRAINT work_schedule_pattern_within_cycle
        CHECK (payroll.pattern_fits(pattern, cycle_days)),
    CONSTRAINT work_schedule_pattern_where_planned
        CHECK (pattern_kind NOT IN ('fixed', 'rotating') OR jsonb_array_length(pattern) > 0)
);

COMMENT ON TABLE payroll.work_schedule IS
    'Weekly or rotating pattern of shifts with grace and rounding.';
COMMENT ON COLUMN payroll.work_schedule.pattern IS
    'Array of {"day", "start", "end", "break"}: day of the cycle, local times, unpaid minutes.';
COMMENT ON COLUMN payroll.work_schedule.cycle_starts_on IS
    'A date that is day 1 of the cycle; all other days are counted from it.';
COMMENT ON COLUMN payroll.work_schedule.late_grace_minutes IS
    'Coming so late is no exception. Grace decides what is reported, never what is paid.';
COMMENT ON COLUMN payroll.work_schedule.early_grace_minutes IS
    'Leaving so early is no exception.';

ALTER TABLE payroll.work_schedule ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.work_schedule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.work_schedule TO app_user;
GRANT SELECT ON payroll.work_schedule TO app_readonly;

CREATE TRIGGER work_schedule_touch
    BEFORE UPDATE ON payroll.work_schedule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

-- Closes the circle: a job may follow a schedule.
ALTER TABLE payroll.job_assignment
    ADD FOREIGN KEY (business_id, work_schedule_id)
        REFERENCES payroll.work_schedule (business_id, work_schedule_id);


CREATE TABLE payroll.scheduled_shift (
    business_id               uuid              NOT NULL,
    scheduled_shift_id        uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id               uuid              NOT NULL,
    job_assignment_id         uuid              NOT NULL,
    work_schedule_id          uuid,
    work_location_id          uuid              NOT NULL,
    shift_date                date,
    starts_at                 timestamptz       NOT NULL,
    ends_at                   timestamptz       NOT NULL,
    unpaid_break_minutes      integer           NOT NULL DEFAULT 0,
    status                    text              NOT NULL DEFAULT 'draft',
    published_at              timestamptz,
    is_open_shift             boolean           NOT NULL DEFAULT false,
    change_notice_hours       numeric(9, 4),
    predictability_pay_amount system_core.money NOT NULL DEFAULT 0,
    swap_with_shift_key       uuid,
    note                      text,
    created_at                timestamptz       NOT NULL DEFAULT now(),
    updated_at                timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, scheduled_shift_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, job_assignment_id)
        REFERENCES payroll.job_assignment (business_id, job_assignment_id),
    FOREIGN KEY (business_id, work_schedule_id)
        REFERENCES payroll.work_schedule (business_id, work_schedule_id),
    FOREIGN KEY (business_id, work_location_id)
        REFERENCES payroll.work_location (business_id, work_location_id),
    CONSTRAINT scheduled_shift_status_known
        CHECK (status IN ('draft', 'published', 'confirmed', 'swapped', 'cancelled', 'worked',
                          'no_show')),
    CONSTRAINT scheduled_shift_ends_after_start CHECK (ends_at > starts_at),
    CONSTRAINT scheduled_shift_within_a_day CHECK (ends_at - starts_at <= interval '24 hours'),
    CONSTRAINT scheduled_shift_break_bounded CHECK (unpaid_break_minutes BETWEEN 0 AND 240),
    CONSTRAINT scheduled_shift_published_when_seen
        CHECK (status IN ('draft', 'cancelled') OR published_at IS NOT NULL),
    CONSTRAINT scheduled_shift_predictability_pay_not_negative
        CHECK (predictability_pay_amount >= 0),
    CONSTRAINT scheduled_shift_one_at_a_time EXCLUDE USING gist (
        business_id WITH =, employee_id WITH =, tstzrange(starts_at, ends_at) WITH &&)
        WHERE (status NOT IN ('cancelled', 'swapped'))
);

COMMENT ON TABLE payroll.scheduled_shift IS 'Planned shift of an employee on a day.';
COMMENT ON COLUMN payroll.scheduled_shift.shift_date IS
    'The day it starts on where it is worked: a night belongs to its evening.';
COMMENT ON COLUMN payroll.scheduled_shift.is_open_shift IS
    'Offered to others: whoever takes it swaps.';
COMMENT ON COLUMN payroll.scheduled_shift.change_notice_hours IS
    'How long before its start a published shift was last changed; negative: after it.';
COMMENT ON COLUMN payroll.scheduled_shift.swap_with_shift_key IS
    'The shift that the other one gave for it.';

-- FK: the shifts of somebody, day by day: my week, the shift that a punch belongs to.
CREATE INDEX scheduled_shift_employee_idx
    ON payroll.scheduled_shift (business_id, employee_id, starts_at);

-- FK: the shifts of a job.
CREATE INDEX scheduled_shift_job_assignment_idx
    ON payroll.scheduled_shift (business_id, job_assignment_id);

-- FK: what came of a schedule.
CREATE INDEX scheduled_shift_work_schedule_idx
    ON payroll.scheduled_shift (business_id, work_schedule_id)
    WHERE work_schedule_id IS NOT NULL;

-- FK: the roster of a place and day.
CREATE INDEX scheduled_shift_work_location_idx
    ON payroll.scheduled_shift (business_id, work_location_id, shift_date);

ALTER TABLE payroll.scheduled_shift ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.scheduled_shift
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.scheduled_shift TO app_user;
GRANT SELECT ON payroll.scheduled_shift TO app_readonly;

CREATE TRIGGER scheduled_shift_touch
    BEFORE UPDATE ON payroll.scheduled_shift
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.set_shift_date() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    SELECT (NEW.starts_at AT TIME ZONE l.time_zone)::date INTO NEW.shift_date
    FROM payroll.work_location AS l
    WHERE l.business_id = NEW.business_id AND l.work_location_id = NEW.work_location_id;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.set_shift_date() IS 'The day of a shift is that of its place.';

CREATE TRIGGER scheduled_shift_date
    BEFORE INSERT OR UPDATE OF starts_at, work_location_id, shift_date ON payroll.scheduled_shift
    FOR EACH ROW EXECUTE FUNCTION payroll.set_shift_date();

CREATE FUNCTION payroll.predictability_pay(assignment uuid, place uuid, notice_hours numeric)
    RETURNS numeric
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(sum(round(l.predictability_pay_hours
                              * payroll.hourly_rate(assignment), 2)), 0)
    FROM payroll.work_location AS l
    WHERE l.business_id = tenant_mgmt.current_business_id() AND l.work_location_id = place
      AND notice_hours < l.schedule_notice_hours;
END;
COMMENT ON FUNCTION payroll.predictability_pay(uuid, uuid, numeric) IS
    'What a change of a published shift costs at a place of the calling tenant when it comes with
     so much notice: hours of pay where its ordinance asks for more notice, else 0.';

CREATE FUNCTION payroll.price_shift_change() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        NEW.change_notice_hours :=
            round(extract(epoch FROM OLD.starts_at - now()) / 3600, 4);
        NEW.predictability_pay_amount := greatest(
            OLD.predictability_pay_amount,
            payroll.predictability_pay(NEW.job_assignment_id, NEW.work_location_id,
                                       NEW.change_notice_hours));
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.price_shift_change() IS
    'A shift that its employee has seen is moved or cancelled at a price; imported changes bring
     theirs.';

CREATE TRIGGER scheduled_shift_change
    BEFORE UPDATE OF starts_at, ends_at, status ON payroll.scheduled_shift
    FOR EACH ROW
    WHEN (OLD.status IN ('published', 'confirmed')
          AND ((OLD.starts_at, OLD.ends_at) IS DISTINCT FROM (NEW.starts_at, NEW.ends_at)
               OR NEW.status = 'cancelled'))
    EXECUTE FUNCTION payroll.price_shift_change();


CREATE FUNCTION payroll.schedule_shifts(schedule uuid, first_day date, last_day date)
    RETURNS integer
    LANGUAGE sql
BEGIN ATOMIC
    WITH planned AS (
        INSERT INTO payroll.scheduled_shift
            (business_id, employee_id, job_assignment_id, work_schedule_id, work_location_id,
             shift_date, starts_at, ends_at, unpaid_break_minutes)
        SELECT a.business_id, a.employee_id, a.job_assignment_id, s.work_schedule_id,
               a.work_location_id, c.on_date, t.starts_at, t.ends_at, coalesce(d.break_minutes, 0)
        FROM payroll.work_schedule AS s
        JOIN payroll.job_assignment AS a
            ON a.business_id = s.business_id AND a.work_schedule_id = s.work_schedule_id
        JOIN payroll.employee AS p
            ON p.business_id = a.business_id AND p.employee_id = a.employee_id
           AND p.status IN ('active', 'rehired')
        JOIN payroll.work_location AS l
            ON l.business_id = a.business_id AND l.work_location_id = a.work_location_id
        CROSS JOIN LATERAL (
            SELECT first_day + n.number AS on_date
            FROM generate_series(0, last_day - first_day) AS n (number)
        ) AS c
        JOIN JSON_TABLE(s.pattern::jsonb, '$[*]' COLUMNS (
                 day           integer PATH '$.day',
                 starts_at     time    PATH '$.start',
                 ends_at       time    PATH '$.end',
                 break_minutes integer PATH '$.break')) AS d
            ON d.day = 1 + ((c.on_date - s.cycle_starts_on) % s.cycle_days + s.cycle_days)
                           % s.cycle_days
        CROSS JOIN LATERAL (
            SELECT (c.on_date + d.starts_at) AT TIME ZONE l.time_zone AS starts_at,
                   (c.on_date + d.ends_at
                    + CASE WHEN d.ends_at < d.starts_at THEN interval '1 day'
                           ELSE interval '0' END) AT TIME ZONE l.time_zone AS ends_at
        ) AS t
        WHERE s.business_id = tenant_mgmt.current_business_id()
          AND s.work_schedule_id = schedule AND s.is_active
          AND daterange(a.effective_from, a.effective_until) @> c.on_date
        ORDER BY a.employee_id, t.starts_at
        ON CONFLICT DO NOTHING   -- a shift is there already
        RETURNING scheduled_shift_id
    )
    SELECT count(*)::integer FROM planned;
END;
COMMENT ON FUNCTION payroll.schedule_shifts(uuid, date, date) IS
    'Lays the pattern of a schedule of the calling tenant out over some days, as drafts for all
     whose job follows it; days that already have a shift keep it. Returns how many it made.';


CREATE TABLE payroll.time_clock (
    business_id          uuid                  NOT NULL,
    time_clock_id        uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    work_location_id     uuid                  NOT NULL,
    service_account_id   uuid,
    code                 system_core.code      NOT NULL,
    clock_kind           text                  NOT NULL,
    latitude             system_core.latitude,
    longitude            system_core.longitude,
    geofence_radius_m    system_core.quantity,
    requires_photo       boolean               NOT NULL DEFAULT false,
    photo_match_minimum  system_core.score     NOT NULL DEFAULT 0.8,
    allowed_networks     text[]                NOT NULL DEFAULT '{}',
    last_heartbeat_at    timestamptz,
    firmware_version     text,
    offline_buffer_hours numeric(9, 4)         NOT NULL DEFAULT 0,
    is_active            boolean               NOT NULL DEFAULT true,
    created_at           timestamptz           NOT NULL DEFAULT now(),
    updated_at           timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, time_clock_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id, work_location_id)
        REFERENCES payroll.work_location (business_id, work_location_id),
    FOREIGN KEY (business_id, service_account_id)
        REFERENCES user_mgmt.service_account (business_id, service_account_id),
    CONSTRAINT time_clock_kind_known
        CHECK (clock_kind IN ('kiosk', 'biometric_terminal', 'badge_reader', 'mobile_app', 'web',
                              'phone_ivr')),
    CONSTRAINT time_clock_fence_bounded CHECK (geofence_radius_m BETWEEN 25 AND 5000),
    CONSTRAINT time_clock_has_both_coordinates
        CHECK ((latitude IS NULL) = (longitude IS NULL)),
    CONSTRAINT time_clock_fence_has_a_center
        CHECK (geofence_radius_m IS NULL OR latitude IS NOT NULL),
    CONSTRAINT time_clock_photo_match_bounded CHECK (photo_match_minimum BETWEEN 0 AND 1),
    CONSTRAINT time_clock_buffer_not_negative CHECK (offline_buffer_hours >= 0)
);

COMMENT ON TABLE payroll.time_clock IS
    'Kiosk, terminal, phone app or web clock with its geofence.';
COMMENT ON COLUMN payroll.time_clock.photo_match_minimum IS
    'A face that resembles the one on file less than that is somebody else''s.';
COMMENT ON COLUMN payroll.time_clock.offline_buffer_hours IS
    'How long it keeps punches when the network is down.';

-- FK: the clocks of a place.
CREATE INDEX time_clock_work_location_idx
    ON payroll.time_clock (business_id, work_location_id);

-- FK: the clock that an account speaks for.
CREATE INDEX time_clock_service_account_idx
    ON payroll.time_clock (business_id, service_account_id)
    WHERE service_account_id IS NOT NULL;

ALTER TABLE payroll.time_clock ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.time_clock
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.time_clock TO app_user;
GRANT SELECT ON payroll.time_clock TO app_readonly;

CREATE TRIGGER time_clock_touch
    BEFORE UPDATE ON payroll.time_clock
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.clock_punch (
    business_id       uuid                  NOT NULL,
    clock_punch_id    uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id       uuid                  NOT NULL,
    time_clock_id     uuid,
    job_assignment_id uuid,
    punched_at        timestamptz           NOT NULL,
    punch_kind        text                  NOT NULL,
    recorded_at       timestamptz           NOT NULL DEFAULT now(),
    source            text                  NOT NULL,
    latitude          system_core.latitude,
    longitude         system_core.longitude,
    accuracy_m        system_core.quantity,
    inside_geofence   boolean,
    photo_match_score system_core.score,
    is_superseded     boolean               NOT NULL DEFAULT false,
    edit_reason       text,
    department_code   system_core.code,
    created_at        timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, clock_punch_id, punched_at),
    UNIQUE (business_id, employee_id, punched_at, punch_kind),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, time_clock_id)
        REFERENCES payroll.time_clock (business_id, time_clock_id),
    FOREIGN KEY (business_id, job_assignment_id)
        REFERENCES payroll.job_assignment (business_id, job_assignment_id),
    CONSTRAINT clock_punch_kind_known
        CHECK (punch_kind IN ('in', 'out', 'meal_start', 'meal_end', 'break_start', 'break_end',
                              'transfer')),
    CONSTRAINT clock_punch_source_known
        CHECK (source IN ('kiosk', 'mobile', 'web', 'biometric', 'supervisor', 'import')),
    CONSTRAINT clock_punch_recorded_after_it_happened
        CHECK (recorded_at >= punched_at - interval '10 minutes'),
    CONSTRAINT clock_punch_supervisor_says_why
        CHECK (source <> 'supervisor' OR coalesce(edit_reason, '') ~ '\S'),
    CONSTRAINT clock_punch_has_both_coordinates
        CHECK ((latitude IS NULL) = (longitude IS NULL)),
    CONSTRAINT clock_punch_measures_bounded
        CHECK (accuracy_m >= 0 AND photo_match_score BETWEEN 0 AND 1)
) PARTITION BY RANGE (punched_at);

COMMENT ON TABLE payroll.clock_punch IS
    'Raw in, out, meal or transfer punch, never edited, only superseded; append only.';
COMMENT ON COLUMN payroll.clock_punch.recorded_at IS
    'When it reached us; a clock may run ahead by ten minutes, or have been offline for hours.';
COMMENT ON COLUMN payroll.clock_punch.inside_geofence IS
    'Within the fence of its clock, give or take the accuracy; NULL where either is unknown.';
COMMENT ON COLUMN payroll.clock_punch.department_code IS
    'Where a transfer goes, if not with the job.';

-- FK: what a clock saw.
CREATE INDEX clock_punch_time_clock_idx
    ON payroll.clock_punch (business_id, time_clock_id, punched_at)
    WHERE time_clock_id IS NOT NULL;

-- FK: the punches for a job.
CREATE INDEX clock_punch_job_assignment_idx
    ON payroll.clock_punch (business_id, job_assignment_id)
    WHERE job_assignment_id IS NOT NULL;

ALTER TABLE payroll.clock_punch ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.clock_punch
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE (is_superseded) ON payroll.clock_punch TO app_user;
GRANT SELECT ON payroll.clock_punch TO app_readonly;

CREATE TRIGGER clock_punch_append_only
    BEFORE DELETE ON payroll.clock_punch
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('payroll.clock_punch');

-- It may be superseded, once and for all, and nothing else of it may change.
CREATE TRIGGER clock_punch_only_superseded
    BEFORE UPDATE ON payroll.clock_punch
    FOR EACH ROW
    WHEN (OLD.is_superseded OR NOT NEW.is_superseded
          OR to_jsonb(OLD) - 'is_superseded' <> to_jsonb(NEW) - 'is_superseded')
    EXECUTE FUNCTION system_core.refuse_change('payroll.clock_punch');

CREATE TABLE payroll.clock_punch_default PARTITION OF payroll.clock_punch DEFAULT;
ALTER TABLE payroll.clock_punch_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.clock_punch_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('payroll.clock_punch', 'month', behind => 13, ahead => 3);

CREATE FUNCTION payroll.place_punch() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    SELECT system_core.distance_km(c.latitude, c.longitude, NEW.latitude, NEW.longitude) * 1000
           <= c.geofence_radius_m + coalesce(NEW.accuracy_m, 0)
    INTO NEW.inside_geofence
    FROM payroll.time_clock AS c
    WHERE c.business_id = NEW.business_id AND c.time_clock_id = NEW.time_clock_id
      AND c.geofence_radius_m IS NOT NULL;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.place_punch() IS
    'Tells whether a punch was made inside the fence of its clock.';

CREATE TRIGGER clock_punch_place
    BEFORE INSERT ON payroll.clock_punch
    FOR EACH ROW WHEN (NEW.time_clock_id IS NOT NULL AND NEW.latitude IS NOT NULL)
    EXECUTE FUNCTION payroll.place_punch();

CREATE FUNCTION payroll.correct_punch(
    punch      uuid,
    moment     timestamptz,
    kind       text,
    why        text,
    assignment uuid DEFAULT NULL
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    wrong  record;
    made   uuid;
BEGIN
    UPDATE payroll.clock_punch AS p
    SET is_superseded = true
    WHERE p.business_id = tenant AND p.clock_punch_id = punch AND NOT p.is_superseded
    RETURNING p.employee_id, p.job_assignment_id, p.department_code INTO wrong;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'punch % is not there or was superseded before', punch
            USING ERRCODE = 'no_data_found';
    END IF;
    INSERT INTO payroll.clock_punch
        (business_id, employee_id, job_assignment_id, punched_at, punch_kind, source, edit_reason,
         department_code)
    VALUES (tenant, wrong.employee_id, coalesce(assignment, wrong.job_assignment_id), moment, kind,
            'supervisor', why, wrong.department_code)
    RETURNING clock_punch_id INTO made;
    RETURN made;
END
$$;
COMMENT ON FUNCTION payroll.correct_punch(uuid, timestamptz, text, text, uuid) IS
    'Puts another punch in the place of a wrong one of the calling tenant, which is kept; returns
     it.';


CREATE TABLE payroll.overtime_rule (
    business_id                  uuid                 NOT NULL,
    overtime_rule_id             uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    work_location_id             uuid,
    code                         system_core.code     NOT NULL,
    jurisdiction_code            system_core.code,
    daily_overtime_after_hours   numeric(9, 4),
    daily_doubletime_after_hours numeric(9, 4),
    weekly_overtime_after_hours  numeric(9, 4)        NOT NULL DEFAULT 40,
    seventh_day_rule             text                 NOT NULL DEFAULT 'none',
    overtime_multiplier          system_core.quantity NOT NULL DEFAULT 1.5,
    doubletime_multiplier        system_core.quantity NOT NULL DEFAULT 2,
    meal_break_after_hours       numeric(9, 4),
    meal_minimum_minutes         integer              NOT NULL DEFAULT 30,
    meal_penalty_hours           numeric(9, 4)        NOT NULL DEFAULT 0,
    regular_rate_method          text                 NOT NULL DEFAULT 'weighted_average',
    effective_from               date                 NOT NULL,
    effective_until              date,
    created_at                   timestamptz          NOT NULL DEFAULT now(),
    updated_at                   timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, overtime_rule_id),
    UNIQUE (business_id, code, effective_from),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, work_location_id)
        REFERENCES payroll.work_location (business_id, work_location_id),
    CONSTRAINT overtime_rule_seventh_day_rule_known
        CHECK (seventh_day_rule IN ('none', 'overtime_first_8', 'doubletime_after_8')),
    CONSTRAINT overtime_rule_regular_rate_method_known
        CHECK (regular_rate_method IN ('weighted_average', 'rate_in_effect',
                                       'fluctuating_workweek')),
    -- 29 USC 207(a)(1): one and a half times the regular rate, beyond forty hours in a workweek.
    -- A state or contract may give more; nothing that this table could hold may give less.
    CONSTRAINT overtime_rule_pays_time_and_a_half CHECK (overtime_multiplier >= 1.5),
    CONSTRAINT overtime_rule_begins_by_forty_hours
        CHECK (weekly_overtime_after_hours BETWEEN 0 AND 40),
    CONSTRAINT overtime_rule_double_pays_more
        CHECK (doubletime_multiplier >= overtime_multiplier),
    CONSTRAINT overtime_rule_double_begins_later
        CHECK (daily_overtime_after_hours > 0
               AND daily_doubletime_after_hours > daily_overtime_after_hours),
    CONSTRAINT overtime_rule_double_needs_overtime
        CHECK (daily_doubletime_after_hours IS NULL OR daily_overtime_after_hours IS NOT NULL),
    CONSTRAINT overtime_rule_meal_bounded
        CHECK (meal_break_after_hours > 0 AND meal_minimum_minutes > 0
               AND meal_penalty_hours >= 0),
    CONSTRAINT overtime_rule_ends_after_start CHECK (effective_until > effective_from),
    CONSTRAINT overtime_rule_one_at_a_time EXCLUDE USING gist (
        business_id WITH =, code WITH =, daterange(effective_from, effective_until) WITH &&)
);

COMMENT ON TABLE payroll.overtime_rule IS
    'When overtime and double time begin: federal, state or contract.';
COMMENT ON COLUMN payroll.overtime_rule.work_location_id IS
    'NULL: holds everywhere, as federal law does.';
COMMENT ON COLUMN payroll.overtime_rule.seventh_day_rule IS
    'What the seventh day of a workweek brings to who worked all seven: overtime for its first
     eight hours, and with doubletime_after_8 double time beyond them.';
COMMENT ON COLUMN payroll.overtime_rule.meal_break_after_hours IS
    'A meal begins before so many hours are worked, or meal_penalty_hours of pay are owed.';

-- FK: the rules of a place.
CREATE INDEX overtime_rule_work_location_idx
    ON payroll.overtime_rule (business_id, work_location_id)
    WHERE work_location_id IS NOT NULL;

ALTER TABLE payroll.overtime_rule ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.overtime_rule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.overtime_rule TO app_user;
GRANT SELECT ON payroll.overtime_rule TO app_readonly;

CREATE TRIGGER overtime_rule_touch
    BEFORE UPDATE ON payroll.overtime_rule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.split_week(
    hours              numeric[],
    daily_overtime     numeric,
    daily_doubletime   numeric,
    weekly_overtime    numeric,
    seventh_day        text
) RETURNS TABLE (day_no integer, regular numeric, overtime numeric, doubletime numeric)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH day AS (
        SELECT h.ordinality::integer AS day_no, h.worked,
               h.ordinality = 7 AND bool_and(h.worked > 0) OVER () AND seventh_day <> 'none'
                   AS is_seventh
        FROM unnest(hours) WITH ORDINALITY AS h (worked, ordinality)
    ), bound AS (
        -- Where overtime and double time of the day begin.
        SELECT d.day_no, d.worked,
               CASE WHEN d.is_seventh THEN 0
                    ELSE least(d.worked, coalesce(daily_overtime, d.worked)) END AS low,
               CASE WHEN d.is_seventh AND seventh_day = 'doubletime_after_8'
                    THEN least(d.worked, 8)
                    ELSE least(d.worked, coalesce(daily_doubletime, d.worked)) END AS high
        FROM day AS d
    ), week AS (
        -- Of what is left, the hours beyond the week's bound are overtime, too.
        SELECT b.day_no, b.worked, b.low, b.high,
               greatest(sum(b.low) OVER earlier - weekly_overtime, 0)
               - greatest(sum(b.low) OVER earlier - b.low - weekly_overtime, 0) AS excess
        FROM bound AS b
        WINDOW earlier AS (ORDER BY b.day_no)
    )
    SELECT w.day_no, w.low - w.excess, w.high - w.low + w.excess, w.worked - w.high
    FROM week AS w
    ORDER BY w.day_no;
END;
COMMENT ON FUNCTION payroll.split_week(numeric[], numeric, numeric, numeric, text) IS
    'Hours of the days of a workweek as regular time, overtime and double time. No hour counts
     twice: what is overtime of a day does not fill the week.';

CREATE FUNCTION payroll.better_overtime_rule(place uuid, week_start date, hours numeric[])
    RETURNS uuid
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT r.overtime_rule_id
    FROM payroll.overtime_rule AS r
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(s.overtime * (r.overtime_multiplier - 1)
                            + s.doubletime * (r.doubletime_multiplier - 1)), 0) AS hours
        FROM payroll.split_week(hours, r.daily_overtime_after_hours,
                                r.daily_doubletime_after_hours, r.weekly_overtime_after_hours,
                                r.seventh_day_rule) AS s
    ) AS extra
    WHERE r.business_id = tenant_mgmt.current_business_id()
      AND coalesce(r.work_location_id = place, true)
      AND daterange(r.effective_from, r.effective_until) @> week_start
    ORDER BY extra.hours DESC, r.meal_break_after_hours, (r.work_location_id IS NULL), r.code
    LIMIT 1;
END;
COMMENT ON FUNCTION payroll.better_overtime_rule(uuid, date, numeric[]) IS
    'Of the rules of the calling tenant that hold at a place, the one that pays these hours of a
     workweek best: law and contract all hold, and the employee gets the better of them.';


CREATE TABLE payroll.pay_premium_rule (
    business_id            uuid                 NOT NULL,
    pay_premium_rule_id    uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    earning_code_id        uuid                 NOT NULL,
    work_location_id       uuid,
    job_profile_id         uuid,
    code                   system_core.code     NOT NULL,
    premium_kind           text                 NOT NULL,
    window_start           time,
    window_end             time,
    weekdays               text[]               NOT NULL DEFAULT '{}',
    amount_per_hour        system_core.quantity,
    percent_of_rate        system_core.quantity,
    minimum_hours          numeric(9, 4)        NOT NULL DEFAULT 0,
    counts_in_regular_rate boolean              NOT NULL DEFAULT true,
    effective_from         date                 NOT NULL,
    effective_until        date,
    created_at             timestamptz          NOT NULL DEFAULT now(),
    updated_at             timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pay_premium_rule_id),
    UNIQUE (business_id, code, effective_from),
    FOREIGN KEY (business_id, work_location_id)
        REFERENCES payroll.work_location (business_id, work_location_id),
    FOREIGN KEY (business_id, job_profile_id)
        REFERENCES payroll.job_profile (business_id, job_profile_id),
    CONSTRAINT pay_premium_rule_kind_known
        CHECK (premium_kind IN ('night', 'weekend', 'holiday', 'hazard', 'call_back',
                                'split_shift', 'bilingual')),
    CONSTRAINT pay_premium_rule_one_measure
        CHECK (num_nonnulls(amount_per_hour, percent_of_rate) = 1),
    CONSTRAINT pay_premium_rule_amount_positive CHECK (amount_per_hour > 0),
    CONSTRAINT pay_premium_rule_percent_bounded CHECK (percent_of_rate BETWEEN 0 AND 300),
    CONSTRAINT pay_premium_rule_minimum_not_negative CHECK (minimum_hours >= 0),
    CONSTRAINT pay_premium_rule_window_has_both_ends
        CHECK ((window_start IS NULL) = (window_end IS NULL) AND window_start <> window_end),
    CONSTRAINT pay_premium_rule_night_has_window
        CHECK (premium_kind <> 'night' OR window_start IS NOT NULL),
    CONSTRAINT pay_premium_rule_weekend_has_days
        CHECK (premium_kind <> 'weekend' OR cardinality(weekdays) > 0),
    CONSTRAINT pay_premium_rule_weekdays_known
        CHECK (weekdays <@ ARRAY['monday', 'tuesday', 'wednesday', 'thursday', 'friday',
                                 'saturday', 'sunday']),
    CONSTRAINT pay_premium_rule_ends_after_start CHECK (effective_until > effective_from)
);

COMMENT ON TABLE payroll.pay_premium_rule IS
    'Shift differential, weekend, hazard, call-back or split-shift premium.';
COMMENT ON COLUMN payroll.pay_premium_rule.window_end IS
    'Local time; before window_start: of the next day.';
COMMENT ON COLUMN payroll.pay_premium_rule.weekdays IS 'On these days alone; empty: on any.';
COMMENT ON COLUMN payroll.pay_premium_rule.minimum_hours IS
    'Least hours of a day for it to be due; who is called back is paid at least so many, and a
     shift is split by a gap of so many.';

-- FK: the premiums that a code pays.
CREATE INDEX pay_premium_rule_earning_code_idx
    ON payroll.pay_premium_rule (business_id, earning_code_id);

-- FK: the premiums of a place.
CREATE INDEX pay_premium_rule_work_location_idx
    ON payroll.pay_premium_rule (business_id, work_location_id)
    WHERE work_location_id IS NOT NULL;

-- FK: the premiums of a job.
CREATE INDEX pay_premium_rule_job_profile_idx
    ON payroll.pay_premium_rule (business_id, job_profile_id)
    WHERE job_profile_id IS NOT NULL;

ALTER TABLE payroll.pay_premium_rule ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.pay_premium_rule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.pay_premium_rule TO app_user;
GRANT SELECT ON payroll.pay_premium_rule TO app_readonly;

CREATE TRIGGER pay_premium_rule_touch
    BEFORE UPDATE ON payroll.pay_premium_rule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
