/*
 * Staff: who works where, for what wage, with which certificates, and when.
 *
 * A staff_member signs in at a terminal by PIN and may have no user account at all. staff_job says
 * which job_roles a person may work at a location and what it pays from a date on. A shift is what
 * was rostered, a time_entry what was worked, with its breaks; declared cash tips go with it, so
 * that payroll and the tip pools read the same hours. staff_certification is the food handler's or
 * alcohol server's card that an inspector asks for.
 */

CREATE TABLE rest.job_role (
    business_id         uuid              NOT NULL,
    job_role_id         uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    job_code            system_core.code  NOT NULL,
    title               text              NOT NULL,
    department          text              NOT NULL,
    pay_basis           text              NOT NULL,
    default_hourly_rate system_core.money NOT NULL DEFAULT 0,
    is_tipped           boolean           NOT NULL DEFAULT false,
    tip_credit_amount   system_core.money NOT NULL DEFAULT 0,
    overtime_exempt     boolean           NOT NULL DEFAULT false,
    can_approve_comps   boolean           NOT NULL DEFAULT false,
    is_active           boolean           NOT NULL DEFAULT true,
    created_at          timestamptz       NOT NULL DEFAULT now(),
    updated_at          timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, job_role_id),
    UNIQUE (business_id, job_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT job_role_department_known
        CHECK (department IN ('front_of_house', 'bar', 'kitchen', 'delivery', 'management',
                              'support')),
    CONSTRAINT job_role_pay_basis_known CHECK (pay_basis IN ('hourly', 'salaried')),
    CONSTRAINT job_role_rate_not_negative CHECK (default_hourly_rate >= 0),
    CONSTRAINT job_role_tip_credit_needs_tips
        CHECK (tip_credit_amount = 0 OR (is_tipped AND tip_credit_amount > 0))
);

COMMENT ON TABLE rest.job_role IS 'Job title with default wage, department and tip eligibility.';
COMMENT ON COLUMN rest.job_role.tip_credit_amount IS
    'What the law lets an hour''s wage be lower by for work that is tipped.';

ALTER TABLE rest.job_role ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.job_role
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.job_role TO app_user;
GRANT SELECT ON rest.job_role TO app_readonly;

CREATE TRIGGER job_role_touch
    BEFORE UPDATE ON rest.job_role
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.staff_member (
    business_id        uuid              NOT NULL,
    staff_member_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    home_location_id   uuid              NOT NULL,
    user_account_id    uuid,
    employee_number    text              NOT NULL,
    display_name       text              NOT NULL,
    pos_pin_hash       text,
    mobile_phone       system_core.phone,
    hired_on           date              NOT NULL,
    terminated_on      date,
    employment_kind    text              NOT NULL DEFAULT 'full_time',
    weekly_hour_limit  numeric(5,        2) NOT NULL DEFAULT 40,
    preferred_language text,
    is_minor           boolean           NOT NULL DEFAULT false,
    status             text              NOT NULL DEFAULT 'active',
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, staff_member_id),
    UNIQUE (business_id, employee_number),
    FOREIGN KEY (business_id, home_location_id)
        REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT staff_member_employment_kind_known
        CHECK (employment_kind IN ('full_time', 'part_time', 'seasonal', 'agency')),
    CONSTRAINT staff_member_status_known CHECK (status IN ('active', 'leave', 'terminated')),
    CONSTRAINT staff_member_leaves_after_joining CHECK (terminated_on >= hired_on),
    CONSTRAINT staff_member_terminated_has_date
        CHECK ((status = 'terminated') = (terminated_on IS NOT NULL)),
    CONSTRAINT staff_member_week_bounded CHECK (weekly_hour_limit BETWEEN 1 AND 80)
);

COMMENT ON TABLE rest.staff_member IS
    'Person on the restaurant''s roster; works the POS by PIN and may have a user account.';
COMMENT ON COLUMN rest.staff_member.pos_pin_hash IS 'Salted hash of the PIN, never the PIN.';

-- FK: the people of a site who still work there.
CREATE INDEX staff_member_home_location_idx
    ON rest.staff_member (business_id, home_location_id, status);

-- FK: the person behind an account.
CREATE INDEX staff_member_user_account_idx
    ON rest.staff_member (business_id, user_account_id)
    WHERE user_account_id IS NOT NULL;

ALTER TABLE rest.staff_member ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.staff_member
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.staff_member TO app_user;
GRANT SELECT ON rest.staff_member TO app_readonly;

CREATE TRIGGER staff_member_touch
    BEFORE UPDATE ON rest.staff_member
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.staff_job (
    business_id           uuid                 NOT NULL,
    staff_job_id          uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    staff_member_id       uuid                 NOT NULL,
    job_role_id           uuid                 NOT NULL,
    location_id           uuid                 NOT NULL,
    hourly_rate           system_core.money    NOT NULL,
    currency              system_core.currency NOT NULL,
    effective_from        date                 NOT NULL,
    effective_to          date,
    is_primary            boolean              NOT NULL DEFAULT false,
    overtime_multiplier   numeric(4,           2) NOT NULL DEFAULT 1.5,
    skill_level           text                 NOT NULL DEFAULT 'competent',
    training_completed_on date,
    created_at            timestamptz          NOT NULL DEFAULT now(),
    updated_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, staff_job_id),
    FOREIGN KEY (business_id, staff_member_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, job_role_id) REFERENCES rest.job_role (business_id, job_role_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT staff_job_skill_level_known
        CHECK (skill_level IN ('trainee', 'competent', 'expert')),
    CONSTRAINT staff_job_ends_after_start CHECK (effective_to >= effective_from),
    CONSTRAINT staff_job_overtime_pays_more CHECK (overtime_multiplier >= 1),
    CONSTRAINT staff_job_no_overlap EXCLUDE USING gist (
        business_id WITH =, staff_member_id WITH =, job_role_id WITH =, location_id WITH =,
        daterange(effective_from, effective_to, '[]') WITH &&)
);

COMMENT ON TABLE rest.staff_job IS
    'A job the person may work and the wage that applies from a date.';

-- FK: who can work a job.
CREATE INDEX staff_job_job_role_idx ON rest.staff_job (business_id, job_role_id);

-- FK: who can work at a site.
CREATE INDEX staff_job_location_idx ON rest.staff_job (business_id, location_id);

ALTER TABLE rest.staff_job ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.staff_job
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.staff_job TO app_user;
GRANT SELECT ON rest.staff_job TO app_readonly;

CREATE TRIGGER staff_job_touch
    BEFORE UPDATE ON rest.staff_job
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.staff_certification (
    business_id            uuid        NOT NULL,
    staff_certification_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    certificate_file_id    uuid,
    staff_member_id        uuid        NOT NULL,
    certificate_kind       text        NOT NULL,
    issuing_body           text,
    certificate_number     text,
    issued_on              date        NOT NULL,
    expires_on             date,
    verified_at            timestamptz,
    status                 text        NOT NULL DEFAULT 'valid',
    reminder_sent_at       timestamptz,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, staff_certification_id),
    UNIQUE (business_id, staff_member_id, certificate_kind, issued_on),
    FOREIGN KEY (business_id, certificate_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, staff_member_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    CONSTRAINT staff_certification_kind_known
        CHECK (certificate_kind IN ('food_handler', 'food_protection_manager', 'alcohol_server',
                                    'allergen_awareness', 'first_aid')),
    CONSTRAINT staff_certification_status_known
        CHECK (status IN ('valid', 'expiring', 'expired', 'revoked')),
    CONSTRAINT staff_certification_expires_later CHECK (expires_on > issued_on)
);

COMMENT ON TABLE rest.staff_certification IS
    'Food handler, food manager or alcohol server certificate with expiry.';

-- What lapses soon, for the manager's reminder.
CREATE INDEX staff_certification_expiry_idx
    ON rest.staff_certification (business_id, expires_on)
    WHERE status IN ('valid', 'expiring');

-- FK: the scanned certificate.
CREATE INDEX staff_certification_certificate_file_idx
    ON rest.staff_certification (business_id, certificate_file_id)
    WHERE certificate_file_id IS NOT NULL;

ALTER TABLE rest.staff_certification ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.staff_certification
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.staff_certification TO app_user;
GRANT SELECT ON rest.staff_certification TO app_readonly;

CREATE TRIGGER staff_certification_touch
    BEFORE UPDATE ON rest.staff_certification
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.shift (
    business_id          uuid              NOT NULL,
    shift_id             uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    released_by_staff_id uuid,
    staff_member_id      uuid,
    location_id          uuid              NOT NULL,
    job_role_id          uuid              NOT NULL,
    business_date        date              NOT NULL,
    starts_at            timestamptz       NOT NULL,
    ends_at              timestamptz       NOT NULL,
    unpaid_break_minutes integer           NOT NULL DEFAULT 0,
    state                text              NOT NULL DEFAULT 'draft',
    published_at         timestamptz,
    section_name         text,
    scheduled_cost       system_core.money,
    note                 text,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, shift_id),
    FOREIGN KEY (business_id, released_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, staff_member_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, job_role_id) REFERENCES rest.job_role (business_id, job_role_id),
    CONSTRAINT shift_state_known
        CHECK (state IN ('draft', 'published', 'open', 'swap_requested', 'swapped', 'worked',
                         'no_show', 'cancelled')),
    CONSTRAINT shift_ends_after_start CHECK (ends_at > starts_at),
    CONSTRAINT shift_is_no_longer_than_a_day CHECK (ends_at <= starts_at + interval '18 hours'),
    CONSTRAINT shift_break_bounded CHECK (unpaid_break_minutes BETWEEN 0 AND 180),
    CONSTRAINT shift_belongs_to_somebody
        CHECK (staff_member_id IS NOT NULL OR state IN ('draft', 'open', 'cancelled')),
    CONSTRAINT shift_published_when_seen
        CHECK (state IN ('draft', 'cancelled') OR published_at IS NOT NULL),
    CONSTRAINT shift_no_overlap EXCLUDE USING gist (
        business_id WITH =, staff_member_id WITH =,
        tstzrange(starts_at, ends_at) WITH &&) WHERE (state <> 'cancelled')
);

COMMENT ON TABLE rest.shift IS 'A rostered shift, published, open for pick-up or swapped.';
COMMENT ON COLUMN rest.shift.business_date IS
    'The day it counts for: a shift into the night stays with the evening.';
COMMENT ON COLUMN rest.shift.released_by_staff_id IS 'Who gave it up for somebody else to take.';

-- FK: the shifts that somebody gave up.
CREATE INDEX shift_released_by_staff_idx
    ON rest.shift (business_id, released_by_staff_id)
    WHERE released_by_staff_id IS NOT NULL;

-- FK: the roster of a person.
CREATE INDEX shift_staff_member_idx
    ON rest.shift (business_id, staff_member_id, starts_at)
    WHERE staff_member_id IS NOT NULL;

-- FK: the roster of a site and day.
CREATE INDEX shift_location_idx ON rest.shift (business_id, location_id, business_date);

-- FK: the shifts of a job role.
CREATE INDEX shift_job_role_idx ON rest.shift (business_id, job_role_id);

ALTER TABLE rest.shift ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.shift
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.shift TO app_user;
GRANT SELECT ON rest.shift TO app_readonly;

CREATE TRIGGER shift_touch
    BEFORE UPDATE ON rest.shift
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.time_entry (
    business_id          uuid              NOT NULL,
    time_entry_id        uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    clock_device_id      uuid,
    approved_by_staff_id uuid,
    staff_member_id      uuid              NOT NULL,
    job_role_id          uuid              NOT NULL,
    location_id          uuid              NOT NULL,
    shift_id             uuid,
    business_date        date              NOT NULL,
    clock_in_at          timestamptz       NOT NULL DEFAULT now(),
    clock_out_at         timestamptz,
    regular_hours        numeric(5,        2) NOT NULL DEFAULT 0,
    overtime_hours       numeric(5,        2) NOT NULL DEFAULT 0,
    hourly_rate          system_core.money NOT NULL,
    declared_cash_tips   system_core.money NOT NULL DEFAULT 0,
    auto_clocked_out     boolean           NOT NULL DEFAULT false,
    edit_reason          text,
    approval_state       text              NOT NULL DEFAULT 'open',
    approved_at          timestamptz,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, time_entry_id),
    FOREIGN KEY (business_id, clock_device_id)
        REFERENCES rest.pos_device (business_id, pos_device_id),
    FOREIGN KEY (business_id, approved_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, staff_member_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, job_role_id) REFERENCES rest.job_role (business_id, job_role_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, shift_id) REFERENCES rest.shift (business_id, shift_id),
    CONSTRAINT time_entry_approval_state_known
        CHECK (approval_state IN ('open', 'pending', 'approved', 'exported')),
    CONSTRAINT time_entry_out_after_in CHECK (clock_out_at > clock_in_at),
    CONSTRAINT time_entry_hours_fit_a_day
        CHECK (regular_hours >= 0 AND overtime_hours >= 0 AND regular_hours + overtime_hours <= 24),
    CONSTRAINT time_entry_hours_once_out
        CHECK (clock_out_at IS NOT NULL OR regular_hours + overtime_hours = 0),
    CONSTRAINT time_entry_tips_not_negative CHECK (declared_cash_tips >= 0),
    CONSTRAINT time_entry_approved_by_another CHECK (approved_by_staff_id <> staff_member_id),
    CONSTRAINT time_entry_approved_once_closed
        CHECK (approval_state = 'open' OR clock_out_at IS NOT NULL),
    CONSTRAINT time_entry_approval_is_whole
        CHECK ((approved_at IS NULL) = (approved_by_staff_id IS NULL)),
    CONSTRAINT time_entry_no_overlap EXCLUDE USING gist (
        business_id WITH =, staff_member_id WITH =, tstzrange(clock_in_at, clock_out_at) WITH &&)
);

COMMENT ON TABLE rest.time_entry IS
    'Clock-in to clock-out with hours and declared tips, ready for payroll export.';
COMMENT ON COLUMN rest.time_entry.edit_reason IS
    'Why a manager changed what the clock had recorded.';

-- One open entry per staff member.
CREATE UNIQUE INDEX time_entry_open_idx
    ON rest.time_entry (business_id, staff_member_id)
    WHERE clock_out_at IS NULL;

-- FK: what was clocked at a device.
CREATE INDEX time_entry_clock_device_idx
    ON rest.time_entry (business_id, clock_device_id)
    WHERE clock_device_id IS NOT NULL;

-- FK: what a manager approved.
CREATE INDEX time_entry_approved_by_staff_idx
    ON rest.time_entry (business_id, approved_by_staff_id)
    WHERE approved_by_staff_id IS NOT NULL;

-- FK: the hours of a person, the newest first.
CREATE INDEX time_entry_staff_member_idx
    ON rest.time_entry (business_id, staff_member_id, clock_in_at DESC);

-- FK: the time entries of a job role.
CREATE INDEX time_entry_job_role_idx ON rest.time_entry (business_id, job_role_id);

-- FK: the hours of a site and day, for tip pools and labor cost.
CREATE INDEX time_entry_location_idx
    ON rest.time_entry (business_id, location_id, business_date);

-- FK: what was worked of a shift.
CREATE INDEX time_entry_shift_idx
    ON rest.time_entry (business_id, shift_id)
    WHERE shift_id IS NOT NULL;

ALTER TABLE rest.time_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.time_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.time_entry TO app_user;
GRANT SELECT ON rest.time_entry TO app_readonly;

CREATE TRIGGER time_entry_touch
    BEFORE UPDATE ON rest.time_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.time_entry_break (
    business_id         uuid              NOT NULL,
    time_entry_break_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    time_entry_id       uuid              NOT NULL,
    break_kind          text              NOT NULL,
    starts_at           timestamptz       NOT NULL,
    ends_at             timestamptz,
    is_paid             boolean           NOT NULL DEFAULT false,
    expected_minutes    integer           NOT NULL DEFAULT 30,
    was_waived          boolean           NOT NULL DEFAULT false,
    was_missed          boolean           NOT NULL DEFAULT false,
    premium_amount      system_core.money NOT NULL DEFAULT 0,
    created_at          timestamptz       NOT NULL DEFAULT now(),
    updated_at          timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, time_entry_break_id),
    FOREIGN KEY (business_id, time_entry_id)
        REFERENCES rest.time_entry (business_id, time_entry_id),
    CONSTRAINT time_entry_break_kind_known CHECK (break_kind IN ('meal', 'rest')),
    CONSTRAINT time_entry_break_ends_after_start CHECK (ends_at > starts_at),
    CONSTRAINT time_entry_break_premium_when_missed
        CHECK (premium_amount = 0 OR (was_missed AND premium_amount > 0)),
    CONSTRAINT time_entry_break_waived_or_missed CHECK (NOT (was_waived AND was_missed)),
    CONSTRAINT time_entry_break_expected_bounded CHECK (expected_minutes BETWEEN 1 AND 120)
);

COMMENT ON TABLE rest.time_entry_break IS
    'Meal or rest break, with the premium owed when it was missed.';
COMMENT ON COLUMN rest.time_entry_break.premium_amount IS
    'What the law makes the employer pay for a break that was not given.';

-- FK: the breaks of an entry.
CREATE INDEX time_entry_break_time_entry_idx
    ON rest.time_entry_break (business_id, time_entry_id);

ALTER TABLE rest.time_entry_break ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.time_entry_break
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.time_entry_break TO app_user;
GRANT SELECT ON rest.time_entry_break TO app_readonly;

CREATE TRIGGER time_entry_break_touch
    BEFORE UPDATE ON rest.time_entry_break
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
