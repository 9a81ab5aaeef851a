/*
 * TODO: what the area is and how its tables relate.
 *
 * Hourly staff, supervisors and kiosks: schedules, clocks, punches, timesheets, overtime and
 * premiums.
 */

CREATE TABLE payroll.work_schedule (
    business_id         uuid             NOT NULL,
    work_schedule_id    uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    code                system_core.code NOT NULL,
    name                text             NOT NULL,
    pattern_kind        text             NOT NULL,
    cycle_days          integer,
    pattern             text,
    weekly_hours        numeric(9, 2),
    rounding_minutes    integer,
    rounding_mode       text             NOT NULL,
    early_grace_minutes integer,
    late_grace_minutes  integer,
    workweek_starts_on  text             NOT NULL,
    is_active           boolean          NOT NULL DEFAULT false,
    created_at          timestamptz      NOT NULL DEFAULT now(),
    updated_at          timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, work_schedule_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT work_schedule_pattern_kind_known
        CHECK (pattern_kind IN ('fixed', 'rotating', 'flexible', 'on_call')),
    CONSTRAINT work_schedule_rounding_mode_known
        CHECK (rounding_mode IN ('nearest', 'employee_favor', 'none')),
    CONSTRAINT work_schedule_workweek_starts_on_known
        CHECK (workweek_starts_on IN ('sunday', 'monday', 'saturday')),
    CONSTRAINT work_schedule_rounding_minutes_known CHECK (rounding_minutes IN (0,1,5,6,10,15)),
    CONSTRAINT work_schedule_weekly_hours_bounded CHECK (weekly_hours BETWEEN 0 AND 100)
);

COMMENT ON TABLE payroll.work_schedule IS
    'Weekly or rotating pattern of shifts with grace and rounding.';
-- RULE pattern covers cycle_days

ALTER TABLE payroll.work_schedule ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.work_schedule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.work_schedule TO app_user;
GRANT SELECT ON payroll.work_schedule TO app_readonly;

CREATE TRIGGER work_schedule_touch
    BEFORE UPDATE ON payroll.work_schedule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


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
    allowed_networks     text[]                NOT NULL DEFAULT '{}',
    last_heartbeat_at    timestamptz,
    firmware_version     text,
    offline_buffer_hours numeric(9, 2),
    is_active            boolean               NOT NULL DEFAULT false,
    created_at           timestamptz           NOT NULL DEFAULT now(),
    updated_at           timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, time_clock_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id, work_location_id)
        REFERENCES payroll.work_location (business_id, work_location_id),
    FOREIGN KEY (business_id, service_account_id)
        REFERENCES user_mgmt.service_account (business_id, service_account_id),
    CONSTRAINT time_clock_clock_kind_known
        CHECK (clock_kind IN ('kiosk', 'biometric_terminal', 'badge_reader', 'mobile_app', 'web',
               'phone_ivr')),
    CONSTRAINT time_clock_geofence_radius_m_bounded CHECK (geofence_radius_m BETWEEN 25 AND 5000)
);

COMMENT ON TABLE payroll.time_clock IS 'Kiosk, terminal, phone app or web clock with its geofence.';
-- RULE latitude and longitude are both set when a radius is set

-- FK: the time clocks of a work location.
CREATE INDEX time_clock_work_location_idx
    ON payroll.time_clock (business_id, work_location_id);

-- FK: the time clocks of a service account.
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


CREATE TABLE payroll.timesheet (
    business_id        uuid          NOT NULL,
    timesheet_id       uuid          NOT NULL DEFAULT system_core.uuid_v7(),
    approved_by        uuid,
    employee_id        uuid          NOT NULL,
    pay_period_id      uuid          NOT NULL,
    status             text          NOT NULL DEFAULT 'open',
    submitted_at       timestamptz,
    approved_at        timestamptz,
    regular_hours      numeric(9, 2),
    overtime_hours     numeric(9, 2),
    doubletime_hours   numeric(9, 2),
    pto_hours          numeric(9, 2),
    holiday_hours      numeric(9, 2),
    unpaid_hours       numeric(9, 2),
    employee_attested  boolean       NOT NULL DEFAULT false,
    attestation_answer text,
    rejection_reason   text,
    created_at         timestamptz   NOT NULL DEFAULT now(),
    updated_at         timestamptz   NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, timesheet_id),
    UNIQUE (business_id, employee_id, pay_period_id),
    FOREIGN KEY (business_id, approved_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    CONSTRAINT timesheet_status_known
        CHECK (status IN ('open', 'submitted', 'approved', 'rejected', 'locked', 'amended')),
    CONSTRAINT timesheet_approved_at_not_before_submitted_at CHECK (approved_at >= submitted_at)
);

COMMENT ON TABLE payroll.timesheet IS 'Hours of an employee in a pay period from open to locked.';
-- RULE hour columns equal the sums of timesheet_entry (trigger)
-- RULE locked sheets change only by amended

-- FK: the timesheets of a user account.
CREATE INDEX timesheet_approved_by_idx
    ON payroll.timesheet (business_id, approved_by)
    WHERE approved_by IS NOT NULL;

-- FK: the timesheets of a pay period.
CREATE INDEX timesheet_pay_period_idx
    ON payroll.timesheet (business_id, pay_period_id);

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


CREATE TABLE payroll.overtime_rule (
    business_id                  uuid                 NOT NULL,
    overtime_rule_id             uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    work_location_id             uuid,
    code                         system_core.code     NOT NULL,
    jurisdiction_code            system_core.code,
    daily_overtime_after_hours   numeric(9, 2),
    daily_doubletime_after_hours numeric(9, 2),
    weekly_overtime_after_hours  numeric(9, 2),
    seventh_day_rule             text                 NOT NULL,
    overtime_multiplier          system_core.quantity,
    doubletime_multiplier        system_core.quantity,
    meal_break_after_hours       numeric(9, 2),
    meal_penalty_hours           numeric(9, 2),
    regular_rate_method          text                 NOT NULL,
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
    CONSTRAINT overtime_rule_overtime_multiplier CHECK (overtime_multiplier >= 1.5)
);

COMMENT ON TABLE payroll.overtime_rule IS
    'When overtime and double time begin: federal, state or contract.';
-- RULE weekly_overtime_after_hours <= 40 for nonexempt
-- RULE the rule better for the employee wins (function)

-- FK: the overtime rules of a work location.
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
    minimum_hours          numeric(9, 2),
    counts_in_regular_rate boolean              NOT NULL DEFAULT false,
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
    CONSTRAINT pay_premium_rule_premium_kind_known
        CHECK (premium_kind IN ('night', 'weekend', 'holiday', 'hazard', 'call_back',
               'split_shift', 'bilingual')),
    CONSTRAINT pay_premium_rule_percent_of_rate_bounded CHECK (percent_of_rate BETWEEN 0 AND 300)
);

COMMENT ON TABLE payroll.pay_premium_rule IS
    'Shift differential, weekend, hazard, call-back or split-shift premium.';
-- RULE exactly one of amount_per_hour and percent_of_rate

-- FK: the pay premium rules of a earning code.
CREATE INDEX pay_premium_rule_earning_code_idx
    ON payroll.pay_premium_rule (business_id, earning_code_id);

-- FK: the pay premium rules of a work location.
CREATE INDEX pay_premium_rule_work_location_idx
    ON payroll.pay_premium_rule (business_id, work_location_id)
    WHERE work_location_id IS NOT NULL;

-- FK: the pay premium rules of a job profile.
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


CREATE TABLE payroll.scheduled_shift (
    business_id               uuid              NOT NULL,
    scheduled_shift_id        uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id               uuid              NOT NULL,
    job_assignment_id         uuid              NOT NULL,
    work_schedule_id          uuid,
    work_location_id          uuid              NOT NULL,
    shift_date                date,
    starts_at                 timestamptz       NOT NULL,
    ends_at                   timestamptz,
    unpaid_break_minutes      integer,
    status                    text              NOT NULL DEFAULT 'draft',
    published_at              timestamptz,
    is_open_shift             boolean           NOT NULL DEFAULT false,
    change_notice_hours       numeric(9, 2),
    predictability_pay_amount system_core.money,
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
               'no_show'))
);

COMMENT ON TABLE payroll.scheduled_shift IS 'Planned shift of an employee on a day.';
-- RULE ends_at > starts_at and at most 24 hours later
-- RULE shifts of one employee do not overlap (exclusion constraint)
-- RULE change_notice_hours below 336 may cause predictability pay (function)

-- FK: the scheduled shifts of a employee.
CREATE INDEX scheduled_shift_employee_idx
    ON payroll.scheduled_shift (business_id, employee_id);

-- FK: the scheduled shifts of a job assignment.
CREATE INDEX scheduled_shift_job_assignment_idx
    ON payroll.scheduled_shift (business_id, job_assignment_id);

-- FK: the scheduled shifts of a work schedule.
CREATE INDEX scheduled_shift_work_schedule_idx
    ON payroll.scheduled_shift (business_id, work_schedule_id)
    WHERE work_schedule_id IS NOT NULL;

-- FK: the scheduled shifts of a work location.
CREATE INDEX scheduled_shift_work_location_idx
    ON payroll.scheduled_shift (business_id, work_location_id);

ALTER TABLE payroll.scheduled_shift ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.scheduled_shift
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.scheduled_shift TO app_user;
GRANT SELECT ON payroll.scheduled_shift TO app_readonly;

CREATE TRIGGER scheduled_shift_touch
    BEFORE UPDATE ON payroll.scheduled_shift
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.clock_punch (
    business_id       uuid                  NOT NULL,
    clock_punch_id    uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id       uuid                  NOT NULL,
    time_clock_id     uuid,
    job_assignment_id uuid,
    punched_at        timestamptz           NOT NULL,
    punch_kind        text                  NOT NULL,
    recorded_at       timestamptz,
    source            text                  NOT NULL,
    latitude          system_core.latitude,
    longitude         system_core.longitude,
    accuracy_m        system_core.quantity,
    inside_geofence   boolean               NOT NULL DEFAULT false,
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
    CONSTRAINT clock_punch_punch_kind_known
        CHECK (punch_kind IN ('in', 'out', 'meal_start', 'meal_end', 'break_start', 'break_end',
               'transfer')),
    CONSTRAINT clock_punch_source_known
        CHECK (source IN ('kiosk', 'mobile', 'web', 'biometric', 'supervisor', 'import')),
    CONSTRAINT clock_punch_recorded_at_punched_at_interval_minutes
        CHECK (recorded_at >= punched_at - interval '10 minutes')
) PARTITION BY RANGE (punched_at);

COMMENT ON TABLE payroll.clock_punch IS
    'Raw in, out, meal or transfer punch, never edited, only superseded; append only.';
-- RULE supervisor punches need edit_reason
-- RULE append only

-- FK: the clock punchs of a time clock.
CREATE INDEX clock_punch_time_clock_idx
    ON payroll.clock_punch (business_id, time_clock_id)
    WHERE time_clock_id IS NOT NULL;

-- FK: the clock punchs of a job assignment.
CREATE INDEX clock_punch_job_assignment_idx
    ON payroll.clock_punch (business_id, job_assignment_id)
    WHERE job_assignment_id IS NOT NULL;

ALTER TABLE payroll.clock_punch ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.clock_punch
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON payroll.clock_punch TO app_user;
GRANT SELECT ON payroll.clock_punch TO app_readonly;

CREATE TRIGGER clock_punch_append_only
    BEFORE UPDATE OR DELETE ON payroll.clock_punch
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('payroll.clock_punch');

CREATE TABLE payroll.clock_punch_default PARTITION OF payroll.clock_punch DEFAULT;
ALTER TABLE payroll.clock_punch_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.clock_punch_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('payroll.clock_punch', 'month', behind => 13, ahead => 3);


CREATE TABLE payroll.timesheet_entry (
    business_id          uuid              NOT NULL,
    timesheet_entry_id   uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    timesheet_id         uuid              NOT NULL,
    job_assignment_id    uuid              NOT NULL,
    earning_code_id      uuid              NOT NULL,
    department_id        uuid,
    overtime_rule_id     uuid,
    work_date            date,
    started_at           timestamptz,
    ended_at             timestamptz,
    hours                numeric(9, 2),
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
    CONSTRAINT timesheet_entry_entry_kind_known
        CHECK (entry_kind IN ('regular', 'overtime', 'doubletime', 'meal_penalty', 'pto',
               'holiday', 'training', 'travel', 'on_call')),
    CONSTRAINT timesheet_entry_hours_and_hours CHECK (hours > 0 AND hours <= 24)
);

COMMENT ON TABLE payroll.timesheet_entry IS
    'Paid block of a day with its earning code and cost split.';
-- RULE ended_at > started_at when both set
-- RULE work_date inside the pay period (trigger)
-- RULE manual_reason is not null when is_manual

-- FK: the timesheet entrys of a timesheet.
CREATE INDEX timesheet_entry_timesheet_idx
    ON payroll.timesheet_entry (business_id, timesheet_id);

-- FK: the timesheet entrys of a job assignment.
CREATE INDEX timesheet_entry_job_assignment_idx
    ON payroll.timesheet_entry (business_id, job_assignment_id);

-- FK: the timesheet entrys of a earning code.
CREATE INDEX timesheet_entry_earning_code_idx
    ON payroll.timesheet_entry (business_id, earning_code_id);

-- FK: the timesheet entrys of a department.
CREATE INDEX timesheet_entry_department_idx
    ON payroll.timesheet_entry (business_id, department_id)
    WHERE department_id IS NOT NULL;

-- FK: the timesheet entrys of a overtime rule.
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


CREATE TABLE payroll.attendance_exception (
    business_id             uuid                 NOT NULL,
    attendance_exception_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    resolved_by             uuid,
    employee_id             uuid                 NOT NULL,
    scheduled_shift_id      uuid,
    timesheet_id            uuid,
    exception_date          date,
    kind                    text                 NOT NULL,
    minutes                 integer,
    detected_at             timestamptz,
    status                  text                 NOT NULL DEFAULT 'open',
    points                  system_core.quantity,
    resolution_note         text,
    resolved_at             timestamptz,
    employee_comment        text,
    created_at              timestamptz          NOT NULL DEFAULT now(),
    updated_at              timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, attendance_exception_id),
    FOREIGN KEY (business_id, resolved_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, scheduled_shift_id)
        REFERENCES payroll.scheduled_shift (business_id, scheduled_shift_id),
    FOREIGN KEY (business_id, timesheet_id)
        REFERENCES payroll.timesheet (business_id, timesheet_id),
    CONSTRAINT attendance_exception_kind_known
        CHECK (kind IN ('late_in', 'early_out', 'missing_punch', 'no_show', 'unscheduled_work',
               'missed_meal', 'short_meal', 'unapproved_overtime', 'outside_geofence',
               'buddy_punch_suspect')),
    CONSTRAINT attendance_exception_status_known
        CHECK (status IN ('open', 'excused', 'corrected', 'unexcused', 'waived')),
    CONSTRAINT attendance_exception_minutes_not_negative CHECK (minutes >= 0),
    CONSTRAINT attendance_exception_resolved_at_not_before_detected_at
        CHECK (resolved_at >= detected_at)
);

COMMENT ON TABLE payroll.attendance_exception IS
    'Late, early, missed punch, no-show, short meal or unapproved overtime to resolve.';
-- RULE points between 0 and 3, counted on a rolling 12 months
-- RULE a meal waiver needs employee consent on file

-- FK: the attendance exceptions of a user account.
CREATE INDEX attendance_exception_resolved_by_idx
    ON payroll.attendance_exception (business_id, resolved_by)
    WHERE resolved_by IS NOT NULL;

-- FK: the attendance exceptions of a employee.
CREATE INDEX attendance_exception_employee_idx
    ON payroll.attendance_exception (business_id, employee_id);

-- FK: the attendance exceptions of a scheduled shift.
CREATE INDEX attendance_exception_scheduled_shift_idx
    ON payroll.attendance_exception (business_id, scheduled_shift_id)
    WHERE scheduled_shift_id IS NOT NULL;

-- FK: the attendance exceptions of a timesheet.
CREATE INDEX attendance_exception_timesheet_idx
    ON payroll.attendance_exception (business_id, timesheet_id)
    WHERE timesheet_id IS NOT NULL;

ALTER TABLE payroll.attendance_exception ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.attendance_exception
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.attendance_exception TO app_user;
GRANT SELECT ON payroll.attendance_exception TO app_readonly;

CREATE TRIGGER attendance_exception_touch
    BEFORE UPDATE ON payroll.attendance_exception
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


-- Closes the circle with an earlier file.
ALTER TABLE payroll.job_assignment
    ADD FOREIGN KEY (business_id, work_schedule_id) REFERENCES payroll.work_schedule (business_id, work_schedule_id);
