/*
 * Labor and pay: time on the clock, who shares a job, and what is earned on it.
 *
 * A time_entry is an interval of a technician; a timesheet sums those of a pay period and is
 * approved before payroll gets it. A job_split says who sold and who performed a work order.
 * A commission_plan has commission_rule rows in order; accrue_commissions() makes commission_entry
 * rows of a job's splits, and a commission_statement pays them out. Payroll itself is in schema
 * payroll of the tenant: here is what the field earns.
 */

CREATE TABLE hs.timesheet (
    business_id                 uuid           NOT NULL,
    timesheet_id                uuid           NOT NULL DEFAULT system_core.uuid_v7(),
    technician_id               uuid           NOT NULL,
    approved_by_user_account_id uuid,
    period_start_on             date           NOT NULL,
    period_end_on               date           NOT NULL,
    regular_hours               numeric(10, 2) NOT NULL DEFAULT 0,
    overtime_hours              numeric(10, 2) NOT NULL DEFAULT 0,
    double_time_hours           numeric(10, 2) NOT NULL DEFAULT 0,
    drive_hours                 numeric(10, 2) NOT NULL DEFAULT 0,
    idle_hours                  numeric(10, 2) NOT NULL DEFAULT 0,
    status                      text           NOT NULL DEFAULT 'open',
    submitted_at                timestamptz,
    approved_at                 timestamptz,
    exported_at                 timestamptz,
    created_at                  timestamptz    NOT NULL DEFAULT now(),
    updated_at                  timestamptz    NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, timesheet_id),
    UNIQUE (business_id, technician_id, period_start_on),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    FOREIGN KEY (business_id, approved_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT timesheet_status_known
        CHECK (status IN ('open', 'submitted', 'approved', 'rejected', 'exported')),
    CONSTRAINT timesheet_ends_after_start CHECK (period_end_on > period_start_on),
    CONSTRAINT timesheet_hours_not_negative
        CHECK (least(regular_hours, overtime_hours, double_time_hours, drive_hours, idle_hours)
               >= 0),
    CONSTRAINT timesheet_approved_by_somebody
        CHECK (status NOT IN ('approved', 'exported')
               OR num_nonnulls(approved_by_user_account_id, approved_at) = 2),
    CONSTRAINT timesheet_times_in_order
        CHECK (submitted_at <= approved_at AND approved_at <= exported_at),
    CONSTRAINT timesheet_exported_has_time
        CHECK ((status = 'exported') = (exported_at IS NOT NULL)),
    CONSTRAINT timesheet_one_at_a_time EXCLUDE USING gist (
        business_id WITH =, technician_id WITH =,
        daterange(period_start_on, period_end_on, '[]') WITH &&)
);

COMMENT ON TABLE hs.timesheet IS
    'A technician''s card of a pay period: hours, their approval, their hand-over to payroll.';
COMMENT ON COLUMN hs.timesheet.period_end_on IS 'Last day of the period.';
COMMENT ON COLUMN hs.timesheet.idle_hours IS 'Paid and neither on a job nor on the way.';

-- FK: what an account approved.
CREATE INDEX timesheet_approver_idx
    ON hs.timesheet (business_id, approved_by_user_account_id)
    WHERE approved_by_user_account_id IS NOT NULL;

-- The cards that wait for approval.
CREATE INDEX timesheet_submitted_idx
    ON hs.timesheet (business_id, period_start_on)
    WHERE status = 'submitted';

ALTER TABLE hs.timesheet ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.timesheet
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.timesheet TO app_user;
GRANT SELECT ON hs.timesheet TO app_readonly;

CREATE TRIGGER timesheet_touch
    BEFORE UPDATE ON hs.timesheet
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER timesheet_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.timesheet
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open"],
        "transitions": {
            "open":      ["submitted"],
            "submitted": ["approved", "rejected"],
            "rejected":  ["submitted"],
            "approved":  ["exported", "rejected"],
            "exported":  []
        }}');

CREATE FUNCTION hs.lock_approved_timesheet() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the card from % is approved: its hours stay', OLD.period_start_on
        USING ERRCODE = 'check_violation', HINT = 'Reject it first, then mend the entries.';
END
$$;
COMMENT ON FUNCTION hs.lock_approved_timesheet() IS
    'Hours of a card that was approved do not change; a rejected one is open again.';

CREATE TRIGGER timesheet_locked
    BEFORE UPDATE ON hs.timesheet
    FOR EACH ROW WHEN (
        OLD.status IN ('approved', 'exported')
        AND (OLD.technician_id, OLD.period_start_on, OLD.period_end_on, OLD.regular_hours,
             OLD.overtime_hours, OLD.double_time_hours, OLD.drive_hours, OLD.idle_hours)
            IS DISTINCT FROM
            (NEW.technician_id, NEW.period_start_on, NEW.period_end_on, NEW.regular_hours,
             NEW.overtime_hours, NEW.double_time_hours, NEW.drive_hours, NEW.idle_hours))
    EXECUTE FUNCTION hs.lock_approved_timesheet();


CREATE TABLE hs.time_entry (
    business_id    uuid                  NOT NULL,
    time_entry_id  uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    technician_id  uuid                  NOT NULL,
    timesheet_id   uuid,
    work_order_id  uuid,
    appointment_id uuid,
    activity       text                  NOT NULL,
    started_at     timestamptz           NOT NULL,
    ended_at       timestamptz,
    entry_minutes  integer
        GENERATED ALWAYS AS (extract(epoch FROM ended_at - started_at)::integer / 60) STORED,
    source         text                  NOT NULL DEFAULT 'app',
    latitude       system_core.latitude,
    longitude      system_core.longitude,
    is_billable    boolean               NOT NULL DEFAULT false,
    edited_reason  text,
    created_at     timestamptz           NOT NULL DEFAULT now(),
    updated_at     timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, time_entry_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    FOREIGN KEY (business_id, timesheet_id)
        REFERENCES hs.timesheet (business_id, timesheet_id),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    FOREIGN KEY (business_id, appointment_id)
        REFERENCES hs.appointment (business_id, appointment_id),
    CONSTRAINT time_entry_activity_known
        CHECK (activity IN ('drive', 'job', 'shop', 'break', 'meeting', 'training', 'parts_run',
                            'idle')),
    CONSTRAINT time_entry_source_known CHECK (source IN ('app', 'geofence', 'manual', 'import')),
    CONSTRAINT time_entry_ends_after_start CHECK (ended_at > started_at),
    CONSTRAINT time_entry_not_too_long CHECK (ended_at <= started_at + interval '24 hours'),
    CONSTRAINT time_entry_manual_has_reason
        CHECK (source <> 'manual' OR coalesce(edited_reason, '') ~ '\S'),
    CONSTRAINT time_entry_job_has_work_order CHECK (activity <> 'job' OR work_order_id IS NOT NULL),
    CONSTRAINT time_entry_one_at_a_time EXCLUDE USING gist (
        business_id WITH =, technician_id WITH =, tstzrange(started_at, ended_at) WITH &&)
);

COMMENT ON TABLE hs.time_entry IS
    'An interval on a technician''s clock: a job, a drive, the shop, a break.';
COMMENT ON COLUMN hs.time_entry.ended_at IS 'NULL while it runs.';

-- FK: the day of a technician.
CREATE INDEX time_entry_technician_idx
    ON hs.time_entry (business_id, technician_id, started_at DESC);

-- FK: the entries of a card.
CREATE INDEX time_entry_timesheet_idx
    ON hs.time_entry (business_id, timesheet_id)
    WHERE timesheet_id IS NOT NULL;

-- FK: the hours of a job.
CREATE INDEX time_entry_work_order_idx
    ON hs.time_entry (business_id, work_order_id)
    WHERE work_order_id IS NOT NULL;

-- FK: the hours of an appointment.
CREATE INDEX time_entry_appointment_idx
    ON hs.time_entry (business_id, appointment_id)
    WHERE appointment_id IS NOT NULL;

ALTER TABLE hs.time_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.time_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.time_entry TO app_user;
GRANT SELECT ON hs.time_entry TO app_readonly;

CREATE TRIGGER time_entry_touch
    BEFORE UPDATE ON hs.time_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.total_timesheet(card uuid, daily_limit numeric DEFAULT 8,
                                   double_after numeric DEFAULT 12) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    UPDATE hs.time_entry AS e
    SET timesheet_id = t.timesheet_id
    FROM hs.timesheet AS t
    WHERE t.business_id = tenant AND t.timesheet_id = card
      AND e.business_id = tenant AND e.technician_id = t.technician_id
      AND e.timesheet_id IS NULL AND e.ended_at IS NOT NULL
      AND e.started_at >= t.period_start_on AND e.started_at < t.period_end_on + 1;
    UPDATE hs.timesheet AS t
    SET regular_hours = s.regular, overtime_hours = s.overtime, double_time_hours = s.double,
        drive_hours = s.drive, idle_hours = s.idle
    FROM (
        SELECT coalesce(sum(least(d.worked, daily_limit)), 0) AS regular,
               coalesce(sum(greatest(least(d.worked, double_after) - daily_limit, 0)), 0)
                   AS overtime,
               coalesce(sum(greatest(d.worked - double_after, 0)), 0) AS double,
               coalesce(sum(d.drive), 0) AS drive, coalesce(sum(d.idle), 0) AS idle
        FROM (
            SELECT e.started_at::date AS worked_on,
                   sum(e.entry_minutes) FILTER (WHERE e.activity <> 'break') / 60.0 AS worked,
                   sum(e.entry_minutes) FILTER (WHERE e.activity = 'drive') / 60.0  AS drive,
                   sum(e.entry_minutes) FILTER (WHERE e.activity = 'idle') / 60.0   AS idle
            FROM hs.time_entry AS e
            WHERE e.business_id = tenant AND e.timesheet_id = card
            GROUP BY e.started_at::date
        ) AS d
    ) AS s
    WHERE t.business_id = tenant AND t.timesheet_id = card;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no card %', card USING ERRCODE = 'no_data_found';
    END IF;
END
$$;
COMMENT ON FUNCTION hs.total_timesheet(uuid, numeric, numeric) IS
    'Puts the ended entries of the period on a card of the tenant and sums them by day: hours up
     to the daily limit are regular, then overtime, then double time. The limits are the tenant''s,
     or its state''s.';


CREATE TABLE hs.commission_plan (
    business_id        uuid              NOT NULL,
    commission_plan_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    business_unit_id   uuid,
    plan_code          system_core.code  NOT NULL,
    name               text              NOT NULL,
    basis              text              NOT NULL DEFAULT 'revenue',
    earn_on            text              NOT NULL DEFAULT 'paid',
    applies_to_role    text              NOT NULL DEFAULT 'technician',
    clawback_days      integer           NOT NULL DEFAULT 90,
    minimum_amount     system_core.money NOT NULL DEFAULT 0,
    is_active          boolean           NOT NULL DEFAULT true,
    effective_on       date              NOT NULL,
    ends_on            date,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, commission_plan_id),
    UNIQUE (business_id, plan_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, business_unit_id)
        REFERENCES hs.business_unit (business_id, business_unit_id),
    CONSTRAINT commission_plan_basis_known
        CHECK (basis IN ('revenue', 'gross_margin', 'flat_hours', 'units')),
    CONSTRAINT commission_plan_earn_on_known CHECK (earn_on IN ('sold', 'completed', 'paid')),
    CONSTRAINT commission_plan_role_known
        CHECK (applies_to_role IN ('technician', 'installer', 'sales', 'csr')),
    CONSTRAINT commission_plan_ends_after_begin CHECK (ends_on > effective_on),
    CONSTRAINT commission_plan_clawback_not_negative CHECK (clawback_days >= 0),
    CONSTRAINT commission_plan_minimum_not_negative CHECK (minimum_amount >= 0)
);

COMMENT ON TABLE hs.commission_plan IS
    'What commission is paid on, to whom, and when it is earned.';
COMMENT ON COLUMN hs.commission_plan.earn_on IS
    'sold: when the customer agreed; completed: when it is done; paid: when the money is there.';
COMMENT ON COLUMN hs.commission_plan.clawback_days IS
    'So long it is taken back when the job is.';

-- FK: the plans of a unit.
CREATE INDEX commission_plan_unit_idx
    ON hs.commission_plan (business_id, business_unit_id)
    WHERE business_unit_id IS NOT NULL;

ALTER TABLE hs.commission_plan ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.commission_plan
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.commission_plan TO app_user;
GRANT SELECT ON hs.commission_plan TO app_readonly;

CREATE TRIGGER commission_plan_touch
    BEFORE UPDATE ON hs.commission_plan
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.commission_rule (
    business_id           uuid                   NOT NULL,
    commission_rule_id    uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    commission_plan_id    uuid                   NOT NULL,
    pricebook_category_id uuid,
    service_task_id       uuid,
    rule_seq              integer                NOT NULL,
    condition_kind        text                   NOT NULL DEFAULT 'always',
    threshold_min_amount  system_core.money,
    threshold_max_amount  system_core.money,
    commission_pct        system_core.percentage,
    flat_amount           system_core.money,
    per_hour_amount       system_core.money,
    is_exclusive          boolean                NOT NULL DEFAULT true,
    cap_amount            system_core.money,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, commission_rule_id),
    UNIQUE (business_id, commission_plan_id, rule_seq),
    FOREIGN KEY (business_id, commission_plan_id)
        REFERENCES hs.commission_plan (business_id, commission_plan_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, pricebook_category_id)
        REFERENCES hs.pricebook_category (business_id, pricebook_category_id),
    FOREIGN KEY (business_id, service_task_id)
        REFERENCES hs.service_task (business_id, service_task_id),
    CONSTRAINT commission_rule_condition_known
        CHECK (condition_kind IN ('always', 'category', 'task', 'margin_tier', 'lead_source')),
    CONSTRAINT commission_rule_category_of_category
        CHECK ((condition_kind = 'category') = (pricebook_category_id IS NOT NULL)),
    CONSTRAINT commission_rule_task_of_task
        CHECK ((condition_kind = 'task') = (service_task_id IS NOT NULL)),
    CONSTRAINT commission_rule_tier_has_bounds
        CHECK (condition_kind <> 'margin_tier' OR threshold_min_amount IS NOT NULL),
    CONSTRAINT commission_rule_bounds_in_order
        CHECK (threshold_max_amount > threshold_min_amount),
    CONSTRAINT commission_rule_pays_one_way
        CHECK (num_nonnulls(commission_pct, flat_amount, per_hour_amount) = 1),
    CONSTRAINT commission_rule_pct_bounded CHECK (commission_pct BETWEEN 0 AND 100),
    CONSTRAINT commission_rule_amounts_not_negative
        CHECK (flat_amount >= 0 AND per_hour_amount >= 0 AND cap_amount >= 0),
    CONSTRAINT commission_rule_seq_positive CHECK (rule_seq > 0)
);

COMMENT ON TABLE hs.commission_rule IS
    'A rate of a plan. Of the exclusive rules the first that fits pays, of the others all do.';

-- FK: the rules for a category.
CREATE INDEX commission_rule_category_idx
    ON hs.commission_rule (business_id, pricebook_category_id)
    WHERE pricebook_category_id IS NOT NULL;

-- FK: the rules for a task.
CREATE INDEX commission_rule_task_idx
    ON hs.commission_rule (business_id, service_task_id)
    WHERE service_task_id IS NOT NULL;

ALTER TABLE hs.commission_rule ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.commission_rule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.commission_rule TO app_user;
GRANT SELECT ON hs.commission_rule TO app_readonly;

CREATE TRIGGER commission_rule_touch
    BEFORE UPDATE ON hs.commission_rule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.job_split (
    business_id        uuid                   NOT NULL,
    job_split_id       uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    work_order_id      uuid                   NOT NULL,
    technician_id      uuid                   NOT NULL,
    split_role         text                   NOT NULL DEFAULT 'performed',
    split_pct          system_core.percentage NOT NULL,
    is_auto_calculated boolean                NOT NULL DEFAULT true,
    basis_hours        numeric(10, 2)         NOT NULL DEFAULT 0,
    note_text          text,
    effective_at       timestamptz            NOT NULL DEFAULT now(),
    approved_at        timestamptz,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, job_split_id),
    UNIQUE (business_id, work_order_id, technician_id, split_role),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    CONSTRAINT job_split_role_known CHECK (split_role IN ('sold', 'performed', 'assisted')),
    CONSTRAINT job_split_pct_bounded CHECK (split_pct > 0 AND split_pct <= 100),
    CONSTRAINT job_split_hours_not_negative CHECK (basis_hours >= 0)
);

COMMENT ON TABLE hs.job_split IS
    'A technician''s share of a job, of what was sold or of what was done; each role sums to 100.';
COMMENT ON COLUMN hs.job_split.is_auto_calculated IS 'From the hours on the clock; else by hand.';

-- FK: the jobs that a technician has a share in.
CREATE INDEX job_split_technician_idx ON hs.job_split (business_id, technician_id);

ALTER TABLE hs.job_split ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.job_split
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.job_split TO app_user;
GRANT SELECT ON hs.job_split TO app_readonly;

CREATE TRIGGER job_split_touch
    BEFORE UPDATE ON hs.job_split
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.require_whole_split() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := coalesce(NEW.business_id, OLD.business_id);
    job    CONSTANT uuid := coalesce(NEW.work_order_id, OLD.work_order_id);
    role   CONSTANT text := coalesce(NEW.split_role, OLD.split_role);
    total  numeric;
BEGIN
    SELECT sum(s.split_pct) INTO total
    FROM hs.job_split AS s
    WHERE s.business_id = tenant AND s.work_order_id = job AND s.split_role = role;
    IF total <> 100 THEN
        RAISE EXCEPTION 'the shares of who % the job sum to % %%', role, total
            USING ERRCODE = 'check_violation', HINT = 'Share 100 % in one transaction.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.require_whole_split() IS
    'At the end of a transaction the shares of each role in a job sum to 100 %.';

CREATE CONSTRAINT TRIGGER job_split_whole
    AFTER INSERT OR UPDATE OR DELETE ON hs.job_split
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION hs.require_whole_split();


CREATE FUNCTION hs.split_job_by_hours(job uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    shared integer;
BEGIN
    DELETE FROM hs.job_split AS s
    WHERE s.business_id = tenant AND s.work_order_id = job AND s.split_role = 'performed'
      AND s.is_auto_calculated;
    IF EXISTS (SELECT FROM hs.job_split AS s
               WHERE s.business_id = tenant AND s.work_order_id = job
                 AND s.split_role = 'performed') THEN
        RETURN 0;  -- somebody shared it by hand
    END IF;
    INSERT INTO hs.job_split (
        business_id, work_order_id, technician_id, split_role, split_pct, basis_hours)
    SELECT tenant, job, h.technician_id, 'performed',
           -- The last one takes what rounding left.
           CASE WHEN h.place = h.people THEN 100 - coalesce(h.before, 0) ELSE h.share END,
           h.minutes / 60.0
    FROM (
        SELECT m.technician_id, m.minutes, m.share, m.people,
               row_number() OVER by_key                                  AS place,
               sum(m.share) OVER (by_key ROWS BETWEEN UNBOUNDED PRECEDING
                                         AND 1 PRECEDING)                AS before
        FROM (
            SELECT e.technician_id, sum(e.entry_minutes) AS minutes,
                   count(*) OVER ()                      AS people,
                   round(100.0 * sum(e.entry_minutes) / sum(sum(e.entry_minutes)) OVER (), 4)
                                                         AS share
            FROM hs.time_entry AS e
            WHERE e.business_id = tenant AND e.work_order_id = job AND e.activity = 'job'
              AND e.entry_minutes > 0
            GROUP BY e.technician_id
        ) AS m
        WINDOW by_key AS (ORDER BY m.technician_id)
    ) AS h;
    GET DIAGNOSTICS shared = ROW_COUNT;
    RETURN shared;
END
$$;
COMMENT ON FUNCTION hs.split_job_by_hours(uuid) IS
    'Shares a job of the tenant by the hours on the clock, unless somebody did by hand; returns
     among how many.';


CREATE TABLE hs.commission_statement (
    business_id             uuid              NOT NULL,
    commission_statement_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    technician_id           uuid              NOT NULL,
    commission_plan_id      uuid,
    period_start_on         date              NOT NULL,
    period_end_on           date              NOT NULL,
    opening_draw_amount     system_core.money NOT NULL DEFAULT 0,
    earned_amount           system_core.money NOT NULL DEFAULT 0,
    clawback_amount         system_core.money NOT NULL DEFAULT 0,
    draw_recovered_amount   system_core.money NOT NULL DEFAULT 0,
    payable_amount          system_core.money NOT NULL
        GENERATED ALWAYS AS (earned_amount - clawback_amount - draw_recovered_amount) STORED,
    status                  text              NOT NULL DEFAULT 'draft',
    issued_at               timestamptz,
    paid_on                 date,
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, commission_statement_id),
    UNIQUE (business_id, technician_id, period_start_on),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    FOREIGN KEY (business_id, commission_plan_id)
        REFERENCES hs.commission_plan (business_id, commission_plan_id),
    CONSTRAINT commission_statement_status_known
        CHECK (status IN ('draft', 'issued', 'disputed', 'paid')),
    CONSTRAINT commission_statement_ends_after_start CHECK (period_end_on > period_start_on),
    CONSTRAINT commission_statement_amounts_not_negative
        CHECK (opening_draw_amount >= 0 AND earned_amount >= 0 AND clawback_amount >= 0
               AND draw_recovered_amount BETWEEN 0 AND opening_draw_amount),
    CONSTRAINT commission_statement_issued_has_time
        CHECK ((status = 'draft') = (issued_at IS NULL)),
    CONSTRAINT commission_statement_paid_has_day CHECK ((status = 'paid') = (paid_on IS NOT NULL))
);

COMMENT ON TABLE hs.commission_statement IS 'A technician''s commissions of a period.';
COMMENT ON COLUMN hs.commission_statement.opening_draw_amount IS
    'What was paid in advance and is still to be recovered.';

-- FK: the statements under a plan.
CREATE INDEX commission_statement_plan_idx
    ON hs.commission_statement (business_id, commission_plan_id)
    WHERE commission_plan_id IS NOT NULL;

ALTER TABLE hs.commission_statement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.commission_statement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.commission_statement TO app_user;
GRANT SELECT ON hs.commission_statement TO app_readonly;

CREATE TRIGGER commission_statement_touch
    BEFORE UPDATE ON hs.commission_statement
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER commission_statement_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.commission_statement
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":    ["issued"],
            "issued":   ["disputed", "paid"],
            "disputed": ["issued"],
            "paid":     []
        }}');


CREATE TABLE hs.commission_entry (
    business_id             uuid                   NOT NULL,
    commission_entry_id     uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    technician_id           uuid                   NOT NULL,
    commission_rule_id      uuid,
    work_order_id           uuid,
    invoice_id              uuid,
    agreement_id            uuid,
    commission_statement_id uuid,
    entry_kind              text                   NOT NULL DEFAULT 'commission',
    base_amount             system_core.money      NOT NULL DEFAULT 0,
    rate_pct                system_core.percentage,
    entry_amount            system_core.money      NOT NULL,
    status                  text                   NOT NULL DEFAULT 'accrued',
    description             text,
    earned_on               date,
    approved_at             timestamptz,
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, commission_entry_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    FOREIGN KEY (business_id, commission_rule_id)
        REFERENCES hs.commission_rule (business_id, commission_rule_id),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    FOREIGN KEY (business_id, invoice_id) REFERENCES hs.invoice (business_id, invoice_id),
    FOREIGN KEY (business_id, agreement_id) REFERENCES hs.agreement (business_id, agreement_id),
    FOREIGN KEY (business_id, commission_statement_id)
        REFERENCES hs.commission_statement (business_id, commission_statement_id),
    CONSTRAINT commission_entry_kind_known
        CHECK (entry_kind IN ('commission', 'spiff', 'bonus', 'adjustment', 'clawback')),
    CONSTRAINT commission_entry_status_known
        CHECK (status IN ('accrued', 'earned', 'approved', 'paid', 'reversed')),
    CONSTRAINT commission_entry_clawback_is_negative CHECK (CASE entry_kind
        WHEN 'clawback' THEN entry_amount < 0
        WHEN 'adjustment' THEN entry_amount <> 0
        ELSE entry_amount >= 0 END),
    CONSTRAINT commission_entry_earned_has_day
        CHECK (status NOT IN ('earned', 'approved', 'paid') OR earned_on IS NOT NULL),
    CONSTRAINT commission_entry_approved_has_time
        CHECK (status NOT IN ('approved', 'paid') OR approved_at IS NOT NULL),
    CONSTRAINT commission_entry_paid_is_on_a_statement
        CHECK (status <> 'paid' OR commission_statement_id IS NOT NULL)
);

COMMENT ON TABLE hs.commission_entry IS
    'A commission, bonus, adjustment or clawback of a technician.';
COMMENT ON COLUMN hs.commission_entry.status IS
    'accrued: the job is there; earned: what the plan waits for happened.';

-- FK: what a technician earned.
CREATE INDEX commission_entry_technician_idx
    ON hs.commission_entry (business_id, technician_id, earned_on DESC);

-- FK: what a rule paid.
CREATE INDEX commission_entry_rule_idx
    ON hs.commission_entry (business_id, commission_rule_id)
    WHERE commission_rule_id IS NOT NULL;

-- FK: what was earned on a job.
CREATE INDEX commission_entry_work_order_idx
    ON hs.commission_entry (business_id, work_order_id)
    WHERE work_order_id IS NOT NULL;

-- FK: what was earned on an invoice.
CREATE INDEX commission_entry_invoice_idx
    ON hs.commission_entry (business_id, invoice_id)
    WHERE invoice_id IS NOT NULL;

-- FK: what was earned on an agreement.
CREATE INDEX commission_entry_agreement_idx
    ON hs.commission_entry (business_id, agreement_id)
    WHERE agreement_id IS NOT NULL;

-- FK: the lines of a statement.
CREATE INDEX commission_entry_statement_idx
    ON hs.commission_entry (business_id, commission_statement_id)
    WHERE commission_statement_id IS NOT NULL;

ALTER TABLE hs.commission_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.commission_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.commission_entry TO app_user;
GRANT SELECT ON hs.commission_entry TO app_readonly;

CREATE TRIGGER commission_entry_touch
    BEFORE UPDATE ON hs.commission_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER commission_entry_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.commission_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["accrued", "earned"],
        "transitions": {
            "accrued":  ["earned", "reversed"],
            "earned":   ["approved", "reversed"],
            "approved": ["paid", "reversed"],
            "paid":     [],
            "reversed": []
        }}');


CREATE FUNCTION hs.accrue_commissions(job uuid) RETURNS SETOF hs.commission_entry
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    UPDATE hs.commission_entry AS c
    SET status = 'reversed'
    WHERE c.business_id = tenant AND c.work_order_id = job
      AND c.entry_kind = 'commission' AND c.status IN ('accrued', 'earned');

    RETURN QUERY
    INSERT INTO hs.commission_entry (
        business_id, technician_id, commission_rule_id, work_order_id, entry_kind, base_amount,
        rate_pct, entry_amount, status, earned_on, description)
    SELECT tenant, x.technician_id, x.commission_rule_id, job, 'commission', x.base,
           x.commission_pct, x.amount,
           CASE WHEN x.is_earned THEN 'earned' ELSE 'accrued' END,
           CASE WHEN x.is_earned THEN current_date END, x.plan_name
    FROM (
        SELECT r.*, s.technician_id, round(r.sold * s.split_pct / 100, 2) AS base,
               round(least(coalesce(r.sold * r.commission_pct / 100, r.flat_amount,
                                    r.per_hour_amount * s.basis_hours),
                           coalesce(r.cap_amount, 'Infinity')) * s.split_pct / 100, 2) AS amount
        FROM (
            -- Of the exclusive rules of a plan that fit, the first; of the others all.
            SELECT f.*, row_number() OVER (PARTITION BY f.commission_plan_id, f.is_exclusive
                                           ORDER BY f.rule_seq) AS place
            FROM (
                SELECT p.commission_plan_id, p.name AS plan_name, p.applies_to_role, u.*,
                       l.sold,
                       CASE p.earn_on WHEN 'sold' THEN w.approved_at IS NOT NULL
                                      WHEN 'completed' THEN w.completed_at IS NOT NULL
                                      ELSE w.status = 'closed' END AS is_earned
                FROM hs.work_order AS w
                JOIN hs.commission_plan AS p
                    ON p.business_id = w.business_id AND p.is_active
                   AND (p.business_unit_id IS NULL OR p.business_unit_id = w.business_unit_id)
                   AND p.effective_on <= w.requested_at::date
                   AND (p.ends_on IS NULL OR p.ends_on > w.requested_at::date)
                CROSS JOIN LATERAL (
                    SELECT r.commission_rule_id, r.rule_seq, r.condition_kind,
                           r.pricebook_category_id, r.service_task_id, r.threshold_min_amount,
                           r.threshold_max_amount, r.commission_pct, r.flat_amount,
                           r.per_hour_amount, r.is_exclusive, r.cap_amount
                    FROM hs.commission_rule AS r
                    WHERE r.business_id = p.business_id
                      AND r.commission_plan_id = p.commission_plan_id
                ) AS u
                CROSS JOIN LATERAL (
                    SELECT coalesce(sum(CASE p.basis
                               WHEN 'gross_margin' THEN l.line_total - l.line_qty * l.unit_cost
                               WHEN 'units' THEN l.line_qty
                               ELSE l.line_total END), 0) AS sold
                    FROM hs.work_order_line AS l
                    LEFT JOIN hs.service_task AS t
                        ON t.business_id = l.business_id AND t.service_task_id = l.service_task_id
                    WHERE l.business_id = w.business_id AND l.work_order_id = w.work_order_id
                      AND l.voided_at IS NULL AND l.is_billable
                      AND (u.service_task_id IS NULL OR l.service_task_id = u.service_task_id)
                      AND (u.pricebook_category_id IS NULL
                           OR t.pricebook_category_id = u.pricebook_category_id)
                ) AS l
                WHERE w.business_id = tenant AND w.work_order_id = job
                  AND l.sold > 0
                  AND (u.condition_kind <> 'margin_tier'
                       OR l.sold >= u.threshold_min_amount
                          AND l.sold < coalesce(u.threshold_max_amount, 'Infinity'))
                  AND l.sold >= p.minimum_amount
            ) AS f
        ) AS r
        JOIN hs.job_split AS s
            ON s.business_id = tenant AND s.work_order_id = job
           AND s.split_role = CASE r.applies_to_role WHEN 'sales' THEN 'sold' ELSE 'performed' END
        WHERE NOT r.is_exclusive OR r.place = 1
    ) AS x
    WHERE x.amount > 0
    RETURNING commission_entry.*;
END
$$;
COMMENT ON FUNCTION hs.accrue_commissions(uuid) IS
    'What a job of the tenant pays to those who share it: of each active plan the first exclusive
     rule that fits and every additive one, on what its lines sold for. What was accrued before is
     reversed, so it is asked again whenever the job changes. Returns the entries.';


CREATE FUNCTION hs.issue_commission_statement(of_technician uuid, first_day date, last_day date)
    RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    issued uuid;
BEGIN
    INSERT INTO hs.commission_statement (
        business_id, technician_id, period_start_on, period_end_on, earned_amount,
        clawback_amount, issued_at)
    SELECT tenant, of_technician, first_day, last_day,
           coalesce(sum(e.entry_amount) FILTER (WHERE e.entry_amount > 0), 0),
           coalesce(-sum(e.entry_amount) FILTER (WHERE e.entry_amount < 0), 0), NULL
    FROM hs.commission_entry AS e
    WHERE e.business_id = tenant AND e.technician_id = of_technician
      AND e.status IN ('earned', 'approved') AND e.commission_statement_id IS NULL
      AND e.earned_on BETWEEN first_day AND last_day
    RETURNING commission_statement_id INTO issued;
    UPDATE hs.commission_entry AS e
    SET commission_statement_id = issued
    WHERE e.business_id = tenant AND e.technician_id = of_technician
      AND e.status IN ('earned', 'approved') AND e.commission_statement_id IS NULL
      AND e.earned_on BETWEEN first_day AND last_day;
    UPDATE hs.commission_statement AS s
    SET status = 'issued', issued_at = now()
    WHERE s.business_id = tenant AND s.commission_statement_id = issued;
    RETURN issued;
END
$$;
COMMENT ON FUNCTION hs.issue_commission_statement(uuid, date, date) IS
    'A statement of what a technician of the tenant earned in a period and is on none yet.';
