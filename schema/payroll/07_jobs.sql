/*
 * Jobs and pay: what an employee does, where, for whom, and for how much.
 *
 * A job_assignment gives an employee a job_profile, a department, a place and a manager for a time.
 * Some hold two jobs at once; one of them is the primary one. Its compensation_rates follow each
 * other without overlap: a new rate closes the former, and is not below what the law of the place
 * asks for, which stands in the rows of 05_workforce.sql.
 */

CREATE TABLE payroll.job_assignment (
    business_id           uuid                   NOT NULL,
    job_assignment_id     uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id           uuid                   NOT NULL,
    job_profile_id        uuid                   NOT NULL,
    department_id         uuid                   NOT NULL,
    work_location_id      uuid                   NOT NULL,
    manager_employee_id   uuid,
    work_schedule_id      uuid,
    assignment_no         integer                NOT NULL DEFAULT 1,
    is_primary            boolean                NOT NULL DEFAULT false,
    worker_category       text                   NOT NULL,
    standard_hours_weekly system_core.quantity   NOT NULL DEFAULT 40,
    fte_pct               system_core.percentage NOT NULL DEFAULT 100,
    effective_from        date                   NOT NULL,
    effective_until       date,
    change_reason         text                   NOT NULL DEFAULT 'hire',
    union_code            system_core.code,
    is_supervisor         boolean                NOT NULL DEFAULT false,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, job_assignment_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, job_profile_id)
        REFERENCES payroll.job_profile (business_id, job_profile_id),
    FOREIGN KEY (business_id, department_id)
        REFERENCES payroll.department (business_id, department_id),
    FOREIGN KEY (business_id, work_location_id)
        REFERENCES payroll.work_location (business_id, work_location_id),
    FOREIGN KEY (business_id, manager_employee_id)
        REFERENCES payroll.employee (business_id, employee_id),
    CONSTRAINT job_assignment_worker_category_known
        CHECK (worker_category IN ('full_time', 'part_time', 'seasonal', 'temporary', 'on_call',
                                   'intern')),
    CONSTRAINT job_assignment_change_reason_known
        CHECK (change_reason IN ('hire', 'promotion', 'transfer', 'demotion', 'reorganization',
                                 'rehire')),
    CONSTRAINT job_assignment_fte_bounded CHECK (fte_pct BETWEEN 1 AND 100),
    CONSTRAINT job_assignment_hours_bounded CHECK (standard_hours_weekly BETWEEN 0 AND 168),
    CONSTRAINT job_assignment_ends_after_start CHECK (effective_until > effective_from),
    CONSTRAINT job_assignment_nobody_manages_themselves
        CHECK (manager_employee_id <> employee_id),
    CONSTRAINT job_assignment_number_positive CHECK (assignment_no > 0),
    CONSTRAINT job_assignment_one_primary_at_a_time EXCLUDE USING gist (
        business_id WITH =, employee_id WITH =,
        daterange(effective_from, effective_until) WITH &&) WHERE (is_primary)
);

COMMENT ON TABLE payroll.job_assignment IS
    'Job, department, location and manager of an employee over time; concurrent jobs allowed.';
COMMENT ON COLUMN payroll.job_assignment.effective_until IS 'The first day without the job.';
COMMENT ON COLUMN payroll.job_assignment.fte_pct IS 'Share of a full-time job.';

-- FK: who reports to somebody; the timesheets that a supervisor approves.
CREATE INDEX job_assignment_manager_employee_idx
    ON payroll.job_assignment (business_id, manager_employee_id)
    WHERE manager_employee_id IS NOT NULL;

-- FK: the jobs of somebody on a day.
CREATE INDEX job_assignment_employee_idx
    ON payroll.job_assignment (business_id, employee_id, effective_from);

-- FK: who does a job.
CREATE INDEX job_assignment_job_profile_idx
    ON payroll.job_assignment (business_id, job_profile_id);

-- FK: the people of a department.
CREATE INDEX job_assignment_department_idx
    ON payroll.job_assignment (business_id, department_id);

-- FK: the jobs at a place: wage floors, schedules.
CREATE INDEX job_assignment_work_location_idx
    ON payroll.job_assignment (business_id, work_location_id);

-- FK: whose shifts follow a schedule.
CREATE INDEX job_assignment_work_schedule_idx
    ON payroll.job_assignment (business_id, work_schedule_id)
    WHERE work_schedule_id IS NOT NULL;

ALTER TABLE payroll.job_assignment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.job_assignment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.job_assignment TO app_user;
GRANT SELECT ON payroll.job_assignment TO app_readonly;

CREATE TRIGGER job_assignment_touch
    BEFORE UPDATE ON payroll.job_assignment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.compensation_rate (
    business_id          uuid                   NOT NULL,
    compensation_rate_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    job_assignment_id    uuid                   NOT NULL,
    approved_by          uuid,
    pay_basis            text                   NOT NULL,
    rate_amount          system_core.money      NOT NULL,
    annualized_amount    system_core.money      NOT NULL DEFAULT 0,
    currency_code        system_core.currency   NOT NULL DEFAULT 'USD',
    pay_frequency_basis  text                   NOT NULL,
    effective_from       date                   NOT NULL,
    effective_until      date,
    reason               text                   NOT NULL DEFAULT 'hire',
    change_pct           system_core.percentage,
    compa_ratio          system_core.quantity,
    approved_at          timestamptz,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, compensation_rate_id),
    FOREIGN KEY (business_id, job_assignment_id)
        REFERENCES payroll.job_assignment (business_id, job_assignment_id),
    FOREIGN KEY (business_id, approved_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT compensation_rate_pay_basis_known
        CHECK (pay_basis IN ('hourly', 'salary', 'piece', 'commission_only', 'day_rate')),
    CONSTRAINT compensation_rate_pay_frequency_basis_known
        CHECK (pay_frequency_basis IN ('hour', 'week', 'biweek', 'semimonth', 'month', 'year',
                                       'unit')),
    CONSTRAINT compensation_rate_reason_known
        CHECK (reason IN ('hire', 'merit', 'promotion', 'market', 'minimum_wage', 'correction')),
    CONSTRAINT compensation_rate_pays CHECK (rate_amount > 0 AND annualized_amount >= 0),
    CONSTRAINT compensation_rate_ends_after_start CHECK (effective_until > effective_from),
    CONSTRAINT compensation_rate_approved_by_somebody
        CHECK ((approved_by IS NULL) = (approved_at IS NULL)),
    CONSTRAINT compensation_rate_frequency_fits_basis
        CHECK (CASE pay_basis WHEN 'hourly' THEN pay_frequency_basis = 'hour'
                              WHEN 'salary' THEN pay_frequency_basis NOT IN ('hour', 'unit')
                              ELSE pay_frequency_basis = 'unit' END),
    CONSTRAINT compensation_rate_one_at_a_time EXCLUDE USING gist (
        business_id WITH =, job_assignment_id WITH =,
        daterange(effective_from, effective_until) WITH &&)
);

COMMENT ON TABLE payroll.compensation_rate IS
    'Effective-dated pay rate of an assignment; a new one closes the former.';
COMMENT ON COLUMN payroll.compensation_rate.rate_amount IS
    'Per pay_frequency_basis; a unit is a piece or a day.';
COMMENT ON COLUMN payroll.compensation_rate.annualized_amount IS
    'What the rate makes of a year at the standard hours of the job; 0 where hours do not decide.';
COMMENT ON COLUMN payroll.compensation_rate.compa_ratio IS
    'The year''s pay against the middle of the range of the job profile: 1 is the middle.';
COMMENT ON COLUMN payroll.compensation_rate.effective_until IS 'The first day of the next rate.';

-- FK: the raises that somebody approved.
CREATE INDEX compensation_rate_approved_by_idx
    ON payroll.compensation_rate (business_id, approved_by)
    WHERE approved_by IS NOT NULL;

-- FK: the rate of a job on a day.
CREATE INDEX compensation_rate_job_assignment_idx
    ON payroll.compensation_rate (business_id, job_assignment_id, effective_from);

ALTER TABLE payroll.compensation_rate ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.compensation_rate
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.compensation_rate TO app_user;
GRANT SELECT ON payroll.compensation_rate TO app_readonly;

CREATE TRIGGER compensation_rate_touch
    BEFORE UPDATE ON payroll.compensation_rate
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.annualized(rate numeric, frequency text, weekly_hours numeric)
    RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN round(rate * CASE frequency WHEN 'hour' THEN weekly_hours * 52 WHEN 'week' THEN 52
                                       WHEN 'biweek' THEN 26 WHEN 'semimonth' THEN 24
                                       WHEN 'month' THEN 12 WHEN 'year' THEN 1 ELSE 0 END, 2);
COMMENT ON FUNCTION payroll.annualized(numeric, text, numeric) IS
    'What a rate makes of a year; 0 for pieces and days, which no hours foretell.';

CREATE FUNCTION payroll.check_rate() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    job          record;
    former       record;
    floor_amount numeric;
BEGIN
    -- Raises of one job wait for each other, so that each closes the one before it.
    PERFORM FROM payroll.job_assignment AS a
    WHERE a.business_id = NEW.business_id AND a.job_assignment_id = NEW.job_assignment_id
    FOR NO KEY UPDATE;
    SELECT a.standard_hours_weekly, p.flsa_status, p.exemption_test, p.is_tipped, l.code,
           (p.pay_range_min_amount + p.pay_range_max_amount) / 2 AS middle,
           CASE WHEN p.is_tipped THEN coalesce(l.tipped_minimum_wage_amount, l.minimum_wage_amount)
                ELSE l.minimum_wage_amount END AS minimum_hourly,
           coalesce(l.exempt_weekly_minimum_amount, e.exempt_weekly_minimum_amount)
               AS minimum_weekly
    INTO job
    FROM payroll.job_assignment AS a
    JOIN payroll.job_profile AS p
        ON p.business_id = a.business_id AND p.job_profile_id = a.job_profile_id
    JOIN payroll.work_location AS l
        ON l.business_id = a.business_id AND l.work_location_id = a.work_location_id
    JOIN payroll.employer_entity AS e
        ON e.business_id = l.business_id AND e.employer_entity_id = l.employer_entity_id
    WHERE a.business_id = NEW.business_id AND a.job_assignment_id = NEW.job_assignment_id;
    IF NOT FOUND THEN
        RETURN NEW;   -- the foreign key says so
    END IF;

    NEW.annualized_amount :=
        payroll.annualized(NEW.rate_amount, NEW.pay_frequency_basis, job.standard_hours_weekly);
    NEW.compa_ratio := CASE WHEN NEW.annualized_amount > 0
                            THEN round(NEW.annualized_amount / nullif(job.middle, 0), 4) END;
    IF TG_OP = 'INSERT' THEN
        SELECT r.compensation_rate_id, r.rate_amount, r.pay_frequency_basis, r.effective_until
        INTO former
        FROM payroll.compensation_rate AS r
        WHERE r.business_id = NEW.business_id AND r.job_assignment_id = NEW.job_assignment_id
          AND r.effective_from < NEW.effective_from
        ORDER BY r.effective_from DESC
        LIMIT 1;
        IF FOUND THEN
            IF former.pay_frequency_basis = NEW.pay_frequency_basis THEN
                NEW.change_pct := round(100 * (NEW.rate_amount / former.rate_amount - 1), 4);
            END IF;
            IF former.effective_until IS NULL THEN
                UPDATE payroll.compensation_rate AS r
                SET effective_until = NEW.effective_from
                WHERE r.business_id = NEW.business_id
                  AND r.compensation_rate_id = former.compensation_rate_id;
            END IF;
        END IF;
    END IF;

    -- What was paid long ago was measured by the law of its day; what is paid now, by today's.
    IF NEW.effective_until <= current_date THEN
        RETURN NEW;
    END IF;
    IF job.flsa_status = 'exempt' AND job.exemption_test <> 'outside_sales' THEN
        floor_amount := round(job.minimum_weekly, 2);
        IF NEW.pay_basis = 'salary' AND NEW.annualized_amount < floor_amount * 52
           OR NEW.pay_basis <> 'salary' AND job.exemption_test <> 'computer' THEN
            RAISE EXCEPTION 'an exempt job at % is paid a salary of at least % a week', job.code,
                            floor_amount
                USING ERRCODE = 'check_violation', CONSTRAINT = 'compensation_rate_exempt_salary',
                      HINT = 'Pay that salary, or make the job nonexempt and pay its overtime.';
        END IF;
    ELSIF NEW.pay_basis = 'hourly' AND NEW.rate_amount < job.minimum_hourly THEN
        RAISE EXCEPTION 'an hour at % is paid with at least %, not %', job.code,
                        job.minimum_hourly, NEW.rate_amount
            USING ERRCODE = 'check_violation', CONSTRAINT = 'compensation_rate_minimum_wage';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.check_rate() IS
    'A new rate closes the open one before it, notes its change and what it makes of a year, and is
     not below the minimum wage or exempt salary of the place.';

CREATE TRIGGER compensation_rate_check
    BEFORE INSERT OR UPDATE OF job_assignment_id, pay_basis, rate_amount, pay_frequency_basis
    ON payroll.compensation_rate
    FOR EACH ROW EXECUTE FUNCTION payroll.check_rate();


CREATE FUNCTION payroll.hourly_rate(assignment uuid, on_date date DEFAULT current_date)
    RETURNS numeric
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT round(CASE WHEN r.pay_basis = 'hourly' THEN r.rate_amount
                      WHEN r.pay_basis = 'salary'
                      THEN r.annualized_amount / nullif(52 * a.standard_hours_weekly, 0)
                      WHEN r.pay_basis = 'day_rate'
                      THEN r.rate_amount / nullif(a.standard_hours_weekly / 5, 0) END, 6)
    FROM payroll.compensation_rate AS r
    JOIN payroll.job_assignment AS a
        ON a.business_id = r.business_id AND a.job_assignment_id = r.job_assignment_id
    WHERE r.business_id = tenant_mgmt.current_business_id() AND r.job_assignment_id = assignment
      AND daterange(r.effective_from, r.effective_until) @> on_date;
END;
COMMENT ON FUNCTION payroll.hourly_rate(uuid, date) IS
    'Pay for an hour in a job of the calling tenant on a day: the hourly rate, or what a salary or
     day rate comes to at its standard hours. NULL for pieces and commissions, and where there is
     no rate.';


CREATE FUNCTION payroll.raise_to_minimum(place uuid, on_date date DEFAULT current_date)
    RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    low    record;
    raised integer := 0;
BEGIN
    FOR low IN
        SELECT r.compensation_rate_id, r.job_assignment_id, r.effective_from, m.minimum
        FROM payroll.job_assignment AS a
        JOIN payroll.work_location AS l
            ON l.business_id = a.business_id AND l.work_location_id = a.work_location_id
        JOIN payroll.job_profile AS p
            ON p.business_id = a.business_id AND p.job_profile_id = a.job_profile_id
        JOIN payroll.compensation_rate AS r
            ON r.business_id = a.business_id AND r.job_assignment_id = a.job_assignment_id
        CROSS JOIN LATERAL (
            SELECT CASE WHEN p.is_tipped
                        THEN coalesce(l.tipped_minimum_wage_amount, l.minimum_wage_amount)
                        ELSE l.minimum_wage_amount END AS minimum
        ) AS m
        WHERE a.business_id = tenant AND a.work_location_id = place
          AND coalesce(a.effective_until > on_date, true)
          AND p.flsa_status = 'nonexempt' AND r.pay_basis = 'hourly'
          AND r.effective_until IS NULL AND r.rate_amount < m.minimum
        ORDER BY r.job_assignment_id
    LOOP
        IF low.effective_from >= on_date THEN
            UPDATE payroll.compensation_rate AS r
            SET rate_amount = low.minimum, reason = 'minimum_wage'
            WHERE r.business_id = tenant AND r.compensation_rate_id = low.compensation_rate_id;
        ELSE
            INSERT INTO payroll.compensation_rate
                (business_id, job_assignment_id, pay_basis, rate_amount, pay_frequency_basis,
                 effective_from, reason)
            VALUES (tenant, low.job_assignment_id, 'hourly', low.minimum, 'hour', on_date,
                    'minimum_wage');
        END IF;
        raised := raised + 1;
    END LOOP;
    RETURN raised;
END
$$;
COMMENT ON FUNCTION payroll.raise_to_minimum(uuid, date) IS
    'Lifts hourly rates of a place of the calling tenant to its minimum wage from a day on, as on
     1 January when the minimum has risen; returns how many.';


CREATE FUNCTION payroll.terminate_employee(
    employee uuid,
    end_date date,
    kind     text,
    reason   text DEFAULT NULL
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    spell  uuid;
BEGIN
    PERFORM FROM payroll.employee AS p
    WHERE p.business_id = tenant AND p.employee_id = employee
    FOR NO KEY UPDATE;
    UPDATE payroll.employment_spell AS s
    SET terminated_on = end_date, last_day_worked = end_date, termination_kind = kind,
        termination_reason = reason
    WHERE s.business_id = tenant AND s.employee_id = employee AND s.terminated_on IS NULL
    RETURNING s.employment_spell_id INTO spell;
    IF spell IS NULL THEN
        RAISE EXCEPTION 'employee % is not employed', employee USING ERRCODE = 'no_data_found';
    END IF;
    -- A rate or job that would only have begun later never does.
    DELETE FROM payroll.compensation_rate AS r
    USING payroll.job_assignment AS a
    WHERE a.business_id = tenant AND a.employee_id = employee
      AND r.business_id = tenant AND r.job_assignment_id = a.job_assignment_id
      AND r.effective_from > end_date;
    UPDATE payroll.compensation_rate AS r
    SET effective_until = end_date + 1
    FROM payroll.job_assignment AS a
    WHERE a.business_id = tenant AND a.employee_id = employee
      AND r.business_id = tenant AND r.job_assignment_id = a.job_assignment_id
      AND coalesce(r.effective_until > end_date + 1, true);
    UPDATE payroll.job_assignment AS a
    SET effective_until = greatest(end_date, a.effective_from) + 1
    WHERE a.business_id = tenant AND a.employee_id = employee
      AND coalesce(a.effective_until > end_date + 1, true);
    UPDATE payroll.employee AS p
    SET status = 'terminated'
    WHERE p.business_id = tenant AND p.employee_id = employee;
    RETURN spell;
END
$$;
COMMENT ON FUNCTION payroll.terminate_employee(uuid, date, text, text) IS
    'Ends the employment of somebody of the calling tenant with that day, and with it jobs and
     rates; returns the spell, which then says when the final pay is due.';
