/*
 * Time off: leave that is earned, asked for and taken, as a ledger of hours.
 *
 * A time_off_policy is a plan: how hours accrue, by length of service (accrual_tier), what is
 * carried over and how far a balance may go below zero. A time_off_enrollment is an employee in a
 * plan; its balance is the sum of its time_off_ledger_entries, which are only ever added: accrued
 * by post_accruals(), used by a time_off_request that was taken, expired, paid out, reversed.
 * What is asked for is pending from the moment it is submitted, so that the last hours are given
 * once. A leave_case is leave that a law protects; requests may belong to it.
 */

CREATE TABLE payroll.time_off_policy (
    business_id              uuid             NOT NULL,
    time_off_policy_id       uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    earning_code_id          uuid             NOT NULL,
    holiday_calendar_id      uuid,
    code                     system_core.code NOT NULL,
    name                     text             NOT NULL,
    leave_kind               text             NOT NULL,
    accrual_method           text             NOT NULL DEFAULT 'per_pay_period',
    accrual_per_hour_rate    system_core.rate,
    mandated_accrual_rate    system_core.rate,
    annual_cap_hours         numeric(9, 4),
    balance_cap_hours        numeric(9, 4),
    carryover_hours          numeric(9, 4),
    carryover_expires_months integer,
    waiting_days             integer          NOT NULL DEFAULT 0,
    pays_out_on_termination  boolean          NOT NULL DEFAULT false,
    allows_negative_hours    numeric(9, 4)    NOT NULL DEFAULT 0,
    is_state_mandated        boolean          NOT NULL DEFAULT false,
    created_at               timestamptz      NOT NULL DEFAULT now(),
    updated_at               timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, time_off_policy_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id, holiday_calendar_id)
        REFERENCES system_core.holiday_calendar (business_id, holiday_calendar_id),
    CONSTRAINT time_off_policy_leave_kind_known
        CHECK (leave_kind IN ('vacation', 'sick', 'pto', 'personal', 'bereavement', 'jury',
                              'parental', 'unpaid')),
    CONSTRAINT time_off_policy_accrual_method_known
        CHECK (accrual_method IN ('per_hour_worked', 'per_pay_period', 'annual_front_load',
                                  'anniversary', 'unlimited')),
    CONSTRAINT time_off_policy_rate_when_per_hour
        CHECK (accrual_method <> 'per_hour_worked' OR accrual_per_hour_rate > 0
               AND accrual_per_hour_rate IS NOT NULL),
    CONSTRAINT time_off_policy_accrues_what_the_state_asks
        CHECK (NOT is_state_mandated OR accrual_method <> 'per_hour_worked'
               OR accrual_per_hour_rate >= mandated_accrual_rate
                  AND mandated_accrual_rate IS NOT NULL),
    CONSTRAINT time_off_policy_caps_ordered
        CHECK (annual_cap_hours > 0 AND balance_cap_hours >= annual_cap_hours),
    CONSTRAINT time_off_policy_hours_not_negative
        CHECK (carryover_hours >= 0 AND allows_negative_hours >= 0 AND waiting_days >= 0
               AND carryover_expires_months > 0)
);

COMMENT ON TABLE payroll.time_off_policy IS
    'Paid or unpaid leave plan with accrual, carry-over and payout rules.';
COMMENT ON COLUMN payroll.time_off_policy.accrual_per_hour_rate IS
    'Hours earned by an hour worked.';
COMMENT ON COLUMN payroll.time_off_policy.mandated_accrual_rate IS
    'Least rate that the state asks of sick leave: an hour for 30 worked (0.033333) in most, such
     as Cal. Lab. Code 246(b)(1).';
COMMENT ON COLUMN payroll.time_off_policy.waiting_days IS
    'Hours accrue from the hire, and may be used after so many days.';
COMMENT ON COLUMN payroll.time_off_policy.carryover_hours IS
    'What is kept at the end of a year; NULL: all.';
COMMENT ON COLUMN payroll.time_off_policy.allows_negative_hours IS
    'How far leave may be taken in advance of being earned.';

-- FK: the plans that a code pays.
CREATE INDEX time_off_policy_earning_code_idx
    ON payroll.time_off_policy (business_id, earning_code_id);

-- FK: the plans that a calendar frees days of.
CREATE INDEX time_off_policy_holiday_calendar_idx
    ON payroll.time_off_policy (business_id, holiday_calendar_id)
    WHERE holiday_calendar_id IS NOT NULL;

ALTER TABLE payroll.time_off_policy ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.time_off_policy
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.time_off_policy TO app_user;
GRANT SELECT ON payroll.time_off_policy TO app_readonly;

CREATE TRIGGER time_off_policy_touch
    BEFORE UPDATE ON payroll.time_off_policy
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.accrual_tier (
    business_id         uuid                 NOT NULL,
    accrual_tier_id     uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    time_off_policy_id  uuid                 NOT NULL,
    tier_no             integer              NOT NULL,
    from_service_months integer              NOT NULL,
    to_service_months   integer,
    hours_per_year      system_core.quantity NOT NULL,
    hours_per_period    system_core.quantity,
    max_balance_hours   numeric(9, 4),
    front_load_hours    numeric(9, 4),
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, accrual_tier_id),
    UNIQUE (business_id, time_off_policy_id, tier_no),
    FOREIGN KEY (business_id, time_off_policy_id)
        REFERENCES payroll.time_off_policy (business_id, time_off_policy_id),
    CONSTRAINT accrual_tier_hours_per_year_bounded CHECK (hours_per_year BETWEEN 0 AND 520),
    CONSTRAINT accrual_tier_numbered_from_one CHECK (tier_no > 0),
    CONSTRAINT accrual_tier_months_ordered
        CHECK (from_service_months >= 0 AND to_service_months > from_service_months),
    CONSTRAINT accrual_tier_hours_not_negative
        CHECK (hours_per_period >= 0 AND max_balance_hours >= 0 AND front_load_hours >= 0)
);

COMMENT ON TABLE payroll.accrual_tier IS 'Accrual rate by length of service.';
COMMENT ON COLUMN payroll.accrual_tier.to_service_months IS
    'Where the next tier begins; NULL: the last one.';
COMMENT ON COLUMN payroll.accrual_tier.hours_per_period IS
    'Where it is not the year''s hours over the periods of a year.';

ALTER TABLE payroll.accrual_tier ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.accrual_tier
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.accrual_tier TO app_user;
GRANT SELECT ON payroll.accrual_tier TO app_readonly;

CREATE TRIGGER accrual_tier_touch
    BEFORE UPDATE ON payroll.accrual_tier
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.check_tiers() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    -- Tiers of a plan wait for each other, so that two added at once do not leave a gap.
    PERFORM FROM payroll.time_off_policy AS p
    WHERE (p.business_id, p.time_off_policy_id) IN (
        SELECT c.business_id, c.time_off_policy_id FROM changed AS c)
    ORDER BY p.time_off_policy_id
    FOR NO KEY UPDATE;
    SELECT x.tier_no, x.from_service_months, x.begins INTO wrong
    FROM (
        SELECT t.tier_no, t.from_service_months,
               CASE WHEN lag(t.tier_no) OVER line IS NULL THEN 0
                    ELSE lag(t.to_service_months) OVER line END AS begins
        FROM payroll.accrual_tier AS t
        WHERE (t.business_id, t.time_off_policy_id) IN (
            SELECT c.business_id, c.time_off_policy_id FROM changed AS c)
        WINDOW line AS (PARTITION BY t.business_id, t.time_off_policy_id ORDER BY t.tier_no)
    ) AS x
    WHERE x.from_service_months IS DISTINCT FROM x.begins
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'tier % begins at month %, not where the one before it ends (%)',
                        wrong.tier_no, wrong.from_service_months,
                        coalesce(wrong.begins::text, 'never')
            USING ERRCODE = 'check_violation',
                  HINT = 'Tiers follow each other from month 0; change them in one statement.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.check_tiers() IS
    'The tiers of a plan cover service from its first month without a gap.';

CREATE TRIGGER accrual_tier_contiguous_on_insert
    AFTER INSERT ON payroll.accrual_tier
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.check_tiers();

CREATE TRIGGER accrual_tier_contiguous_on_update
    AFTER UPDATE ON payroll.accrual_tier
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.check_tiers();

CREATE TRIGGER accrual_tier_contiguous_on_delete
    AFTER DELETE ON payroll.accrual_tier
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.check_tiers();


CREATE TABLE payroll.leave_case (
    business_id                  uuid          NOT NULL,
    leave_case_id                uuid          NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id                  uuid          NOT NULL,
    case_manager_user_account_id uuid,
    case_number                  text          NOT NULL,
    leave_law                    text          NOT NULL,
    reason                       text          NOT NULL,
    is_intermittent              boolean       NOT NULL DEFAULT false,
    certification_due_on         date,
    certified_on                 date,
    entitled_weeks               integer       NOT NULL,
    weekly_hours                 numeric(9, 4) NOT NULL DEFAULT 40,
    used_hours                   numeric(9, 4) NOT NULL DEFAULT 0,
    starts_on                    date          NOT NULL,
    expected_return_on           date,
    returned_on                  date,
    benefits_continued           boolean       NOT NULL DEFAULT true,
    status                       text          NOT NULL DEFAULT 'requested',
    created_at                   timestamptz   NOT NULL DEFAULT now(),
    updated_at                   timestamptz   NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, leave_case_id),
    UNIQUE (business_id, case_number),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, case_manager_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT leave_case_law_known
        CHECK (leave_law IN ('fmla', 'state_pfml', 'military', 'disability', 'ada',
                             'workers_comp')),
    CONSTRAINT leave_case_reason_known
        CHECK (reason IN ('own_health', 'birth', 'adoption', 'family_care', 'military_family',
                          'injury')),
    CONSTRAINT leave_case_status_known
        CHECK (status IN ('requested', 'designated', 'denied', 'active', 'exhausted', 'closed')),
    -- No law gives more than the 26 weeks for a wounded servicemember, 29 USC 2612(a)(3).
    CONSTRAINT leave_case_entitlement_bounded CHECK (entitled_weeks BETWEEN 0 AND 26),
    CONSTRAINT leave_case_weekly_hours_bounded
        CHECK (weekly_hours > 0 AND weekly_hours <= 168 AND used_hours >= 0),
    CONSTRAINT leave_case_within_its_entitlement
        CHECK (used_hours <= entitled_weeks * weekly_hours),
    CONSTRAINT leave_case_returns_after_start
        CHECK (expected_return_on >= starts_on AND returned_on >= starts_on)
);

COMMENT ON TABLE payroll.leave_case IS
    'Protected leave: FMLA, state family leave, military, disability.';
COMMENT ON COLUMN payroll.leave_case.weekly_hours IS
    'The usual week of the employee: a week of entitlement is so many hours.';

-- FK: the cases of a manager.
CREATE INDEX leave_case_case_manager_user_account_idx
    ON payroll.leave_case (business_id, case_manager_user_account_id)
    WHERE case_manager_user_account_id IS NOT NULL;

-- FK: the protected leave of an employee.
CREATE INDEX leave_case_employee_idx
    ON payroll.leave_case (business_id, employee_id);

ALTER TABLE payroll.leave_case ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.leave_case
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.leave_case TO app_user;
GRANT SELECT ON payroll.leave_case TO app_readonly;

CREATE TRIGGER leave_case_touch
    BEFORE UPDATE ON payroll.leave_case
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.fmla_eligibility(employee uuid, on_date date DEFAULT current_date)
    RETURNS TABLE (service_months integer, worked_hours numeric, is_eligible boolean)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT s.months, h.hours,
           coalesce(s.months >= e.fmla_service_months AND h.hours >= e.fmla_worked_hours, false)
    FROM payroll.employee AS p
    JOIN payroll.employer_entity AS e
        ON e.business_id = p.business_id AND e.employer_entity_id = p.employer_entity_id
    CROSS JOIN LATERAL (
        -- The months need not follow each other: all spells count.
        SELECT coalesce(sum(
                   extract(year FROM a.length) * 12 + extract(month FROM a.length)), 0)::integer
                   AS months
        FROM payroll.employment_spell AS x
        CROSS JOIN LATERAL (
            SELECT age(least(on_date, x.terminated_on + 1), x.hired_on) AS length
        ) AS a
        WHERE x.business_id = p.business_id AND x.employee_id = p.employee_id
          AND x.hired_on <= on_date
    ) AS s
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(t.hours), 0) AS hours
        FROM payroll.timesheet AS x
        JOIN payroll.timesheet_entry AS t
            ON t.business_id = x.business_id AND t.timesheet_id = x.timesheet_id
        WHERE x.business_id = p.business_id AND x.employee_id = p.employee_id
          AND t.work_date >= (on_date - interval '12 months')::date AND t.work_date < on_date
          AND (t.in_punch_key IS NOT NULL OR t.is_manual)   -- worked, not paid beside the work
          AND t.entry_kind IN ('regular', 'overtime', 'doubletime', 'training', 'travel',
                               'on_call')
    ) AS h
    WHERE p.business_id = tenant_mgmt.current_business_id()
      AND p.employee_id = fmla_eligibility.employee;
END;
COMMENT ON FUNCTION payroll.fmla_eligibility(uuid, date) IS
    'Whether an employee of the calling tenant may take family leave from a day on: months of
     service and hours worked in the year before, as the row of the employer asks for.';

CREATE FUNCTION payroll.check_leave_designation() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    fact record;
BEGIN
    IF row_security_active(TG_RELID) THEN
        SELECT f.service_months, f.worked_hours, f.is_eligible INTO fact
        FROM payroll.fmla_eligibility(NEW.employee_id, NEW.starts_on) AS f;
        IF NOT fact.is_eligible THEN
            RAISE EXCEPTION 'family leave is not due after % months and % hours',
                            fact.service_months, fact.worked_hours
                USING ERRCODE = 'check_violation', HINT = 'Deny it, or name another law.';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.check_leave_designation() IS
    'Leave is designated as family leave for who is entitled to it; imported cases were judged by
     what was known then.';

CREATE TRIGGER leave_case_designation
    BEFORE INSERT OR UPDATE OF status, leave_law ON payroll.leave_case
    FOR EACH ROW WHEN (NEW.leave_law = 'fmla' AND NEW.status IN ('designated', 'active'))
    EXECUTE FUNCTION payroll.check_leave_designation();


CREATE TABLE payroll.time_off_enrollment (
    business_id            uuid          NOT NULL,
    time_off_enrollment_id uuid          NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id            uuid          NOT NULL,
    time_off_policy_id     uuid          NOT NULL,
    enrolled_on            date          NOT NULL,
    ended_on               date,
    balance_hours          numeric(9, 4) NOT NULL DEFAULT 0,
    pending_hours          numeric(9, 4) NOT NULL DEFAULT 0,
    accrued_ytd_hours      numeric(9, 4) NOT NULL DEFAULT 0,
    used_ytd_hours         numeric(9, 4) NOT NULL DEFAULT 0,
    carryover_hours        numeric(9, 4) NOT NULL DEFAULT 0,
    entry_count            integer       NOT NULL DEFAULT 0,
    last_posted_on         date,
    next_tier_on           date,
    created_at             timestamptz   NOT NULL DEFAULT now(),
    updated_at             timestamptz   NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, time_off_enrollment_id),
    UNIQUE (business_id, employee_id, time_off_policy_id, enrolled_on),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, time_off_policy_id)
        REFERENCES payroll.time_off_policy (business_id, time_off_policy_id),
    CONSTRAINT time_off_enrollment_ends_after_start CHECK (ended_on >= enrolled_on),
    CONSTRAINT time_off_enrollment_hours_not_negative
        CHECK (pending_hours >= 0 AND carryover_hours >= 0 AND entry_count >= 0),
    CONSTRAINT time_off_enrollment_one_at_a_time EXCLUDE USING gist (
        business_id WITH =, employee_id WITH =, time_off_policy_id WITH =,
        daterange(enrolled_on, ended_on, '[]') WITH &&)
);

COMMENT ON TABLE payroll.time_off_enrollment IS
    'Employee in a policy with the balance as of the last posting.';
COMMENT ON COLUMN payroll.time_off_enrollment.balance_hours IS
    'The sum of its ledger; the ledger moves it.';
COMMENT ON COLUMN payroll.time_off_enrollment.pending_hours IS
    'Asked for or approved, and not yet taken: the requests move it.';
COMMENT ON COLUMN payroll.time_off_enrollment.accrued_ytd_hours IS
    'Accrued in the calendar year of last_posted_on.';

-- FK: who is in a plan.
CREATE INDEX time_off_enrollment_time_off_policy_idx
    ON payroll.time_off_enrollment (business_id, time_off_policy_id);

ALTER TABLE payroll.time_off_enrollment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.time_off_enrollment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.time_off_enrollment TO app_user;
GRANT SELECT ON payroll.time_off_enrollment TO app_readonly;

CREATE TRIGGER time_off_enrollment_touch
    BEFORE UPDATE ON payroll.time_off_enrollment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.check_overdraft() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    plan record;
BEGIN
    SELECT p.code, p.allows_negative_hours INTO plan
    FROM payroll.time_off_policy AS p
    WHERE p.business_id = NEW.business_id AND p.time_off_policy_id = NEW.time_off_policy_id
      AND p.accrual_method <> 'unlimited' AND NEW.balance_hours < - p.allows_negative_hours;
    IF FOUND THEN
        RAISE EXCEPTION '% goes no further below zero than %', plan.code,
                        plan.allows_negative_hours
            USING ERRCODE = 'check_violation', CONSTRAINT = 'time_off_balance_not_exceeded';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.check_overdraft() IS
    'However a balance comes about, it is not further below zero than its plan allows.';

CREATE TRIGGER time_off_enrollment_overdraft
    BEFORE INSERT OR UPDATE OF balance_hours, time_off_policy_id ON payroll.time_off_enrollment
    FOR EACH ROW WHEN (NEW.balance_hours < 0)
    EXECUTE FUNCTION payroll.check_overdraft();


CREATE TABLE payroll.time_off_request (
    business_id              uuid                 NOT NULL,
    time_off_request_id      uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id              uuid                 NOT NULL,
    time_off_policy_id       uuid                 NOT NULL,
    decided_by               uuid,
    leave_case_id            uuid,
    starts_on                date                 NOT NULL,
    ends_on                  date                 NOT NULL,
    hours_requested          system_core.quantity NOT NULL,
    taken_hours              system_core.quantity,
    day_part                 text                 NOT NULL DEFAULT 'full',
    status                   text                 NOT NULL DEFAULT 'draft',
    submitted_at             timestamptz,
    decided_at               timestamptz,
    denial_reason            text,
    conflicts_found          integer              NOT NULL DEFAULT 0,
    employee_note            text,
    balance_at_request_hours numeric(9, 4),
    created_at               timestamptz          NOT NULL DEFAULT now(),
    updated_at               timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, time_off_request_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, time_off_policy_id)
        REFERENCES payroll.time_off_policy (business_id, time_off_policy_id),
    FOREIGN KEY (business_id, decided_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, leave_case_id)
        REFERENCES payroll.leave_case (business_id, leave_case_id),
    CONSTRAINT time_off_request_day_part_known
        CHECK (day_part IN ('full', 'first_half', 'second_half', 'hours')),
    CONSTRAINT time_off_request_status_known
        CHECK (status IN ('draft', 'submitted', 'approved', 'denied', 'cancelled', 'taken',
                          'partly_taken')),
    CONSTRAINT time_off_request_ends_after_start CHECK (ends_on >= starts_on),
    CONSTRAINT time_off_request_part_of_one_day CHECK (day_part = 'full' OR ends_on = starts_on),
    CONSTRAINT time_off_request_asks_for_hours
        CHECK (hours_requested > 0
               AND hours_requested <= 24 * greatest(ends_on - starts_on + 1, 1)),
    CONSTRAINT time_off_request_partly_taken_is_less
        CHECK (CASE WHEN status = 'partly_taken' THEN taken_hours > 0
                                                      AND taken_hours < hours_requested
                    ELSE taken_hours = hours_requested END),
    CONSTRAINT time_off_request_taken_has_hours
        CHECK ((taken_hours IS NOT NULL) = (status IN ('taken', 'partly_taken'))),
    CONSTRAINT time_off_request_submitted_has_time
        CHECK (status IN ('draft', 'cancelled') OR submitted_at IS NOT NULL),
    CONSTRAINT time_off_request_decided_has_time
        CHECK (status NOT IN ('approved', 'denied', 'taken', 'partly_taken')
               OR decided_at IS NOT NULL),
    CONSTRAINT time_off_request_decided_after_submission CHECK (decided_at >= submitted_at),
    CONSTRAINT time_off_request_denied_has_reason
        CHECK (status <> 'denied' OR coalesce(denial_reason, '') ~ '\S'),
    CONSTRAINT time_off_request_conflicts_not_negative CHECK (conflicts_found >= 0),
    -- A first half ends and a second half begins at noon, so that both fit into a day.
    CONSTRAINT time_off_request_away_once EXCLUDE USING gist (
        business_id WITH =, employee_id WITH =,
        tsrange(starts_on + CASE day_part WHEN 'second_half' THEN time '12:00'
                                          ELSE time '00:00' END,
                ends_on + CASE day_part WHEN 'first_half' THEN time '12:00'
                                        ELSE time '24:00' END) WITH &&)
        WHERE (status IN ('approved', 'taken', 'partly_taken'))
);

COMMENT ON TABLE payroll.time_off_request IS
    'Request for days or hours off with decision and coverage.';
COMMENT ON COLUMN payroll.time_off_request.taken_hours IS
    'What was taken in the end; NULL until then.';
COMMENT ON COLUMN payroll.time_off_request.conflicts_found IS
    'Planned shifts in the time asked for, counted when it was submitted.';

-- FK: what somebody decided.
CREATE INDEX time_off_request_decided_by_idx
    ON payroll.time_off_request (business_id, decided_by)
    WHERE decided_by IS NOT NULL;

-- FK: the time off of somebody: calendar, timesheet, balance card.
CREATE INDEX time_off_request_employee_idx
    ON payroll.time_off_request (business_id, employee_id, starts_on);

-- FK: what is asked of a plan.
CREATE INDEX time_off_request_time_off_policy_idx
    ON payroll.time_off_request (business_id, time_off_policy_id);

-- FK: the days of a protected leave.
CREATE INDEX time_off_request_leave_case_idx
    ON payroll.time_off_request (business_id, leave_case_id)
    WHERE leave_case_id IS NOT NULL;

ALTER TABLE payroll.time_off_request ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.time_off_request
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.time_off_request TO app_user;
GRANT SELECT ON payroll.time_off_request TO app_readonly;

CREATE TRIGGER time_off_request_touch
    BEFORE UPDATE ON payroll.time_off_request
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER time_off_request_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.time_off_request
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":        ["submitted", "cancelled"],
            "submitted":    ["approved", "denied", "cancelled"],
            "approved":     ["taken", "partly_taken", "cancelled"],
            "denied":       [],
            "cancelled":    [],
            "taken":        [],
            "partly_taken": []
        }}');


CREATE TABLE payroll.time_off_ledger_entry (
    business_id              uuid          NOT NULL,
    time_off_ledger_entry_id uuid          NOT NULL DEFAULT system_core.uuid_v7(),
    time_off_enrollment_id   uuid          NOT NULL,
    time_off_request_id      uuid,
    paycheck_id              uuid,
    entry_date               date          NOT NULL,
    entry_no                 integer       NOT NULL DEFAULT 0,
    entry_kind               text          NOT NULL,
    hours                    numeric(9, 4) NOT NULL,
    balance_after_hours      numeric(9, 4) NOT NULL DEFAULT 0,
    pay_period_key           uuid,
    reason                   text,
    posted_at                timestamptz   NOT NULL DEFAULT now(),
    posted_by_job            text,
    is_reversed              boolean       NOT NULL DEFAULT false,
    created_at               timestamptz   NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, time_off_ledger_entry_id, entry_date),
    FOREIGN KEY (business_id, time_off_enrollment_id)
        REFERENCES payroll.time_off_enrollment (business_id, time_off_enrollment_id),
    FOREIGN KEY (business_id, time_off_request_id)
        REFERENCES payroll.time_off_request (business_id, time_off_request_id),
    CONSTRAINT time_off_ledger_entry_kind_known
        CHECK (entry_kind IN ('accrual', 'use', 'carryover', 'expiry', 'payout', 'adjustment',
                              'transfer', 'reversal')),
    CONSTRAINT time_off_ledger_entry_sign_by_kind
        CHECK (CASE WHEN entry_kind IN ('accrual', 'carryover') THEN hours > 0
                    WHEN entry_kind IN ('use', 'expiry', 'payout') THEN hours < 0
                    ELSE hours <> 0 END),
    CONSTRAINT time_off_ledger_entry_correction_says_why
        CHECK (entry_kind NOT IN ('adjustment', 'reversal') OR coalesce(reason, '') ~ '\S')
) PARTITION BY RANGE (entry_date);

COMMENT ON TABLE payroll.time_off_ledger_entry IS
    'Accrual, use, carry-over, expiry, payout or correction in hours; append only.';
COMMENT ON COLUMN payroll.time_off_ledger_entry.entry_no IS
    'Its place in the ledger of the enrollment, which the posting counts.';
COMMENT ON COLUMN payroll.time_off_ledger_entry.entry_kind IS
    'A carryover brings a balance over from another plan or system.';
COMMENT ON COLUMN payroll.time_off_ledger_entry.pay_period_key IS
    'The pay period that an accrual is for: each is credited once.';

-- FK: the ledger of an enrollment in order.
CREATE INDEX time_off_ledger_entry_time_off_enrollment_idx
    ON payroll.time_off_ledger_entry (business_id, time_off_enrollment_id, entry_no);

-- FK: the hours that a request took.
CREATE INDEX time_off_ledger_entry_time_off_request_idx
    ON payroll.time_off_ledger_entry (business_id, time_off_request_id)
    WHERE time_off_request_id IS NOT NULL;

-- FK: the leave that a paycheck paid out.
CREATE INDEX time_off_ledger_entry_paycheck_idx
    ON payroll.time_off_ledger_entry (business_id, paycheck_id)
    WHERE paycheck_id IS NOT NULL;

ALTER TABLE payroll.time_off_ledger_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.time_off_ledger_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE (is_reversed) ON payroll.time_off_ledger_entry TO app_user;
GRANT SELECT ON payroll.time_off_ledger_entry TO app_readonly;

CREATE TRIGGER time_off_ledger_entry_append_only
    BEFORE DELETE ON payroll.time_off_ledger_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('payroll.time_off_ledger_entry');

-- It may be marked as reversed, once and for all, and nothing else of it may change.
CREATE TRIGGER time_off_ledger_entry_only_reversed
    BEFORE UPDATE ON payroll.time_off_ledger_entry
    FOR EACH ROW
    WHEN (OLD.is_reversed OR NOT NEW.is_reversed
          OR to_jsonb(OLD) - 'is_reversed' <> to_jsonb(NEW) - 'is_reversed')
    EXECUTE FUNCTION system_core.refuse_change('payroll.time_off_ledger_entry');

CREATE TABLE payroll.time_off_ledger_entry_default
    PARTITION OF payroll.time_off_ledger_entry DEFAULT;
ALTER TABLE payroll.time_off_ledger_entry_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.time_off_ledger_entry_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'payroll.time_off_ledger_entry', 'month', behind => 13, ahead => 3);
