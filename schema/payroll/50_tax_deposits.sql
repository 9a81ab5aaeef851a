/*
 * What is owed to the agencies: liabilities, when they are due, and their deposits.
 *
 * Each pay run owes each agency what it withheld and what the employer adds: a tax_liability per run,
 * tax and account (book_tax_liabilities()). When it is due follows from the account's rhythm and from
 * a deposit_rule, which holds the numbers of the law as rows of the tenant: the amount that makes a
 * deposit due the next day, the day of the month, the penalties. deposit_schedule() groups what is
 * open into deposits, deposit_taxes() makes them; a tax_deposit is the sum of its liabilities.
 *
 * A paycheck that is voided lowers what is open; of what was deposited already, the difference is
 * noted as overpaid and shows as such in the return of the quarter.
 */

CREATE TABLE payroll.deposit_rule (
    business_id              uuid                   NOT NULL,
    deposit_rule_id          uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    tax_jurisdiction_id      uuid                   NOT NULL,
    effective_from           date                   NOT NULL,
    effective_until          date,
    next_day_over_amount     system_core.money,
    semiweekly_lead_days     integer                NOT NULL DEFAULT 3,
    monthly_due_day          integer                NOT NULL DEFAULT 15,
    return_due_months        integer                NOT NULL DEFAULT 1,
    lookback_over_amount     system_core.money,
    penalty_tiers            system_core.json_array NOT NULL DEFAULT '[]',
    backup_withholding_rate  system_core.rate,
    contractor_report_amount system_core.money,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, deposit_rule_id),
    FOREIGN KEY (business_id, tax_jurisdiction_id)
        REFERENCES payroll.tax_jurisdiction (business_id, tax_jurisdiction_id),
    CONSTRAINT deposit_rule_ends_after_start CHECK (effective_until > effective_from),
    CONSTRAINT deposit_rule_amounts_positive
        CHECK (next_day_over_amount > 0 AND coalesce(lookback_over_amount, 1) > 0
               AND coalesce(contractor_report_amount, 1) > 0),
    CONSTRAINT deposit_rule_days_bounded
        CHECK (monthly_due_day BETWEEN 1 AND 28 AND semiweekly_lead_days BETWEEN 1 AND 10
               AND return_due_months BETWEEN 1 AND 3),
    CONSTRAINT deposit_rule_rate_bounded CHECK (backup_withholding_rate BETWEEN 0 AND 0.5),
    CONSTRAINT deposit_rule_no_overlap EXCLUDE USING gist (
        business_id WITH =, tax_jurisdiction_id WITH =,
        daterange(effective_from, effective_until) WITH &&)
);

COMMENT ON TABLE payroll.deposit_rule IS
    'What an agency asks of deposits and returns from a date on: the numbers of the law.';
COMMENT ON COLUMN payroll.deposit_rule.next_day_over_amount IS
    'What has come together within a deposit period and reaches this is due the next banking day.';
COMMENT ON COLUMN payroll.deposit_rule.semiweekly_lead_days IS
    'Banking days after the end of the half week.';
COMMENT ON COLUMN payroll.deposit_rule.return_due_months IS
    'A return is due at the end of the n-th month after its period; so are the year''s statements.';
COMMENT ON COLUMN payroll.deposit_rule.lookback_over_amount IS
    'Who owed more than this in the four quarters of the look-back deposits every half week.';
COMMENT ON COLUMN payroll.deposit_rule.penalty_tiers IS
    'Of a late deposit: [{"from_day", "percent"}], the last tier that is reached holds.';
COMMENT ON COLUMN payroll.deposit_rule.contractor_report_amount IS
    'Contractors who were paid at least this in a year get a 1099.';

ALTER TABLE payroll.deposit_rule ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.deposit_rule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.deposit_rule TO app_user;
GRANT SELECT ON payroll.deposit_rule TO app_readonly;

CREATE TRIGGER deposit_rule_touch
    BEFORE UPDATE ON payroll.deposit_rule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.deposit_rule_on(jurisdiction uuid, day date) RETURNS payroll.deposit_rule
    LANGUAGE sql STABLE
BEGIN ATOMIC
    -- The closest one up the jurisdictions: most states and counties follow the federation.
    SELECT r.*
    FROM payroll.tax_jurisdiction AS j
    LEFT JOIN payroll.tax_jurisdiction AS p
        ON p.business_id = j.business_id AND p.tax_jurisdiction_id = j.parent_jurisdiction_id
    LEFT JOIN payroll.tax_jurisdiction AS g
        ON g.business_id = j.business_id AND g.tax_jurisdiction_id = p.parent_jurisdiction_id
    JOIN payroll.deposit_rule AS r
        ON r.business_id = j.business_id
       AND r.tax_jurisdiction_id IN (j.tax_jurisdiction_id, p.tax_jurisdiction_id,
                                     g.tax_jurisdiction_id)
       AND daterange(r.effective_from, r.effective_until) @> day
    WHERE j.business_id = tenant_mgmt.current_business_id()
      AND j.tax_jurisdiction_id = jurisdiction
    ORDER BY r.tax_jurisdiction_id <> j.tax_jurisdiction_id,
             r.tax_jurisdiction_id IS DISTINCT FROM p.tax_jurisdiction_id
    LIMIT 1;
END;
COMMENT ON FUNCTION payroll.deposit_rule_on(uuid, date) IS
    'The rule of a jurisdiction of the calling tenant on a day, else of the one that it lies in.';

CREATE FUNCTION payroll.deposit_period_end(frequency text, day date) RETURNS date
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE frequency
        WHEN 'next_day' THEN day
        -- Wednesday to Friday, and Saturday to Tuesday.
        WHEN 'semiweekly' THEN day + CASE WHEN extract(isodow FROM day) BETWEEN 3 AND 5
                                          THEN 5 - extract(isodow FROM day)::integer
                                          ELSE (9 - extract(isodow FROM day)::integer) % 7 END
        WHEN 'accelerated' THEN day + CASE WHEN extract(isodow FROM day) BETWEEN 3 AND 5
                                           THEN 5 - extract(isodow FROM day)::integer
                                           ELSE (9 - extract(isodow FROM day)::integer) % 7 END
        WHEN 'monthly' THEN (date_trunc('month', day::timestamp) + interval '1 month - 1 day')::date
        WHEN 'quarterly'
        THEN (date_trunc('quarter', day::timestamp) + interval '3 months - 1 day')::date
        ELSE (date_trunc('year', day::timestamp) + interval '1 year - 1 day')::date
    END;
COMMENT ON FUNCTION payroll.deposit_period_end(text, date) IS
    'The last day of the deposit period of a rhythm that a day lies in.';

CREATE FUNCTION payroll.deposit_due_on(jurisdiction uuid, frequency text, day date) RETURNS date
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    rule   CONSTANT payroll.deposit_rule := payroll.deposit_rule_on(jurisdiction, day);
    ending CONSTANT date := payroll.deposit_period_end(frequency, day);
BEGIN
    RETURN CASE
        WHEN frequency = 'next_day' THEN payroll.banking_day(ending, 1)
        WHEN frequency IN ('semiweekly', 'accelerated')
        THEN payroll.banking_day(ending, coalesce(rule.semiweekly_lead_days, 3))
        -- On a day on which banks are closed it is due on the next one.
        WHEN frequency = 'monthly'
        THEN payroll.banking_day(ending + coalesce(rule.monthly_due_day, 15) - 1, 1)
        ELSE payroll.banking_day(payroll.return_due_on(jurisdiction, ending) - 1, 1) END;
END
$$;
COMMENT ON FUNCTION payroll.deposit_due_on(uuid, text, date) IS
    'When a liability of a day is due in a rhythm, by the rule of its jurisdiction and the banking
     days of the calling tenant.';

CREATE FUNCTION payroll.return_due_on(jurisdiction uuid, period_end date) RETURNS date
    LANGUAGE sql STABLE
    RETURN (date_trunc('month', period_end::timestamp)
            + make_interval(months => coalesce((
                  SELECT r.return_due_months
                  FROM payroll.deposit_rule_on(jurisdiction, period_end) AS r), 1) + 1)
            - interval '1 day')::date;
COMMENT ON FUNCTION payroll.return_due_on(uuid, date) IS
    'The end of the month in which the return of a period is due.';


CREATE TABLE payroll.tax_deposit (
    business_id              uuid              NOT NULL,
    tax_deposit_id           uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    employer_tax_account_id  uuid              NOT NULL,
    employer_bank_account_id uuid,
    deposit_number           text              NOT NULL,
    filing_form              text              NOT NULL,
    due_on                   date              NOT NULL,
    initiated_at             timestamptz,
    settled_on               date,
    amount                   system_core.money NOT NULL,
    penalty_amount           system_core.money NOT NULL DEFAULT 0,
    interest_amount          system_core.money NOT NULL DEFAULT 0,
    method                   text              NOT NULL DEFAULT 'eftps',
    confirmation_number      text,
    status                   text              NOT NULL DEFAULT 'scheduled',
    period_end               date              NOT NULL,
    days_late                integer           GENERATED ALWAYS AS
                                                   (greatest(settled_on - due_on, 0)) STORED,
    created_at               timestamptz       NOT NULL DEFAULT now(),
    updated_at               timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_deposit_id),
    UNIQUE (business_id, deposit_number),
    FOREIGN KEY (business_id, employer_tax_account_id)
        REFERENCES payroll.employer_tax_account (business_id, employer_tax_account_id),
    FOREIGN KEY (business_id, employer_bank_account_id)
        REFERENCES payroll.employer_bank_account (business_id, employer_bank_account_id),
    CONSTRAINT tax_deposit_method_known
        CHECK (method IN ('eftps', 'ach_credit', 'state_portal', 'check', 'wire')),
    CONSTRAINT tax_deposit_status_known
        CHECK (status IN ('scheduled', 'initiated', 'accepted', 'settled', 'rejected', 'late')),
    CONSTRAINT tax_deposit_amounts_not_negative
        CHECK (amount > 0 AND penalty_amount >= 0 AND interest_amount >= 0),
    CONSTRAINT tax_deposit_settled_has_date
        CHECK ((status = 'settled') = (settled_on IS NOT NULL)),
    CONSTRAINT tax_deposit_initiated_has_time
        CHECK (status NOT IN ('initiated', 'accepted', 'settled') OR initiated_at IS NOT NULL),
    CONSTRAINT tax_deposit_accepted_has_number
        CHECK (status NOT IN ('accepted', 'settled') OR coalesce(confirmation_number, '') ~ '\S')
);

COMMENT ON TABLE payroll.tax_deposit IS 'Payment of one or more liabilities to an agency.';
COMMENT ON COLUMN payroll.tax_deposit.filing_form IS 'The return that the deposit counts on.';
COMMENT ON COLUMN payroll.tax_deposit.penalty_amount IS
    'By the tiers of the deposit rule and the days late; what the agency abates is in its notice.';
COMMENT ON COLUMN payroll.tax_deposit.status IS
    'late: the due date has passed and nothing was sent.';

-- FK: the deposits of an account by due date.
CREATE INDEX tax_deposit_employer_tax_account_idx
    ON payroll.tax_deposit (business_id, employer_tax_account_id, due_on);

-- FK: what was paid from a bank account.
CREATE INDEX tax_deposit_employer_bank_account_idx
    ON payroll.tax_deposit (business_id, employer_bank_account_id)
    WHERE employer_bank_account_id IS NOT NULL;

-- tax_due_calendar: the deposits that are on their way.
CREATE INDEX tax_deposit_due_idx
    ON payroll.tax_deposit (business_id, due_on)
    WHERE status IN ('scheduled', 'initiated', 'accepted', 'late');

ALTER TABLE payroll.tax_deposit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.tax_deposit
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.tax_deposit TO app_user;
GRANT SELECT ON payroll.tax_deposit TO app_readonly;

CREATE TRIGGER tax_deposit_touch
    BEFORE UPDATE ON payroll.tax_deposit
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER tax_deposit_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.tax_deposit
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["scheduled"],
        "transitions": {
            "scheduled": ["initiated", "late", "rejected"],
            "late":      ["initiated", "rejected"],
            "initiated": ["accepted", "rejected"],
            "accepted":  ["settled", "rejected"],
            "settled":   [],
            "rejected":  []
        }}');

CREATE FUNCTION payroll.set_deposit_penalty() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.penalty_amount := coalesce((
        SELECT round(NEW.amount * t.percent / 100, 2)
        FROM payroll.employer_tax_account AS a
        CROSS JOIN LATERAL payroll.deposit_rule_on(a.tax_jurisdiction_id, NEW.due_on) AS r
        CROSS JOIN JSON_TABLE(r.penalty_tiers::jsonb, '$[*]' COLUMNS (
            from_day integer PATH '$.from_day', percent numeric PATH '$.percent')) AS t
        WHERE a.business_id = NEW.business_id
          AND a.employer_tax_account_id = NEW.employer_tax_account_id
          AND t.from_day <= NEW.settled_on - NEW.due_on
        ORDER BY t.from_day DESC
        LIMIT 1), 0);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.set_deposit_penalty() IS
    'A late deposit costs the percent of the tier that its days reach.';

CREATE TRIGGER tax_deposit_penalty
    BEFORE INSERT OR UPDATE OF settled_on, due_on, amount ON payroll.tax_deposit
    FOR EACH ROW EXECUTE FUNCTION payroll.set_deposit_penalty();


CREATE TABLE payroll.tax_liability (
    business_id             uuid              NOT NULL,
    tax_liability_id        uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    pay_run_id              uuid              NOT NULL,
    tax_code_id             uuid              NOT NULL,
    employer_tax_account_id uuid              NOT NULL,
    tax_deposit_id          uuid,
    check_date              date              NOT NULL,
    liability_date          date              NOT NULL,
    tax_year                integer           NOT NULL
                                              GENERATED ALWAYS AS (
                                                  extract(year FROM liability_date)::integer)
                                              STORED,
    quarter_no              integer           NOT NULL
                                              GENERATED ALWAYS AS (
                                                  extract(quarter FROM liability_date)::integer)
                                              STORED,
    employee_amount         system_core.money NOT NULL DEFAULT 0,
    employer_amount         system_core.money NOT NULL DEFAULT 0,
    total_amount            system_core.money NOT NULL
                                              GENERATED ALWAYS AS
                                                  (employee_amount + employer_amount) STORED,
    overpaid_amount         system_core.money NOT NULL DEFAULT 0,
    accumulated_on          date,
    due_on                  date              NOT NULL,
    status                  text              NOT NULL DEFAULT 'open',
    deposit_rule            text              NOT NULL,
    deposit_frequency       text              NOT NULL,
    adjustment_reason       text,
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_liability_id),
    UNIQUE (business_id, pay_run_id, tax_code_id, employer_tax_account_id),
    FOREIGN KEY (business_id, pay_run_id) REFERENCES payroll.pay_run (business_id, pay_run_id),
    FOREIGN KEY (business_id, tax_code_id) REFERENCES payroll.tax_code (business_id, tax_code_id),
    FOREIGN KEY (business_id, employer_tax_account_id)
        REFERENCES payroll.employer_tax_account (business_id, employer_tax_account_id),
    FOREIGN KEY (business_id, tax_deposit_id)
        REFERENCES payroll.tax_deposit (business_id, tax_deposit_id),
    CONSTRAINT tax_liability_status_known
        CHECK (status IN ('open', 'scheduled', 'deposited', 'adjusted', 'credited')),
    CONSTRAINT tax_liability_deposit_rule_known
        CHECK (deposit_rule IN ('next_day_100k', 'semiweekly', 'monthly', 'quarterly',
                                'de_minimis')),
    CONSTRAINT tax_liability_deposit_frequency_known
        CHECK (deposit_frequency IN ('next_day', 'semiweekly', 'monthly', 'quarterly', 'annual',
                                     'accelerated')),
    CONSTRAINT tax_liability_amounts_not_negative
        CHECK (employee_amount >= 0 AND employer_amount >= 0),
    CONSTRAINT tax_liability_overpaid_within_amount
        CHECK (overpaid_amount BETWEEN 0 AND employee_amount + employer_amount),
    CONSTRAINT tax_liability_accumulated_for_the_next_day
        CHECK (accumulated_on IS NULL
               OR (deposit_rule = 'next_day_100k' AND accumulated_on >= liability_date)),
    CONSTRAINT tax_liability_due_after_pay CHECK (due_on > liability_date),
    CONSTRAINT tax_liability_deposit_while_on_its_way
        CHECK ((status IN ('scheduled', 'deposited', 'credited')) = (tax_deposit_id IS NOT NULL)),
    CONSTRAINT tax_liability_credited_was_overpaid
        CHECK ((status = 'credited') = (overpaid_amount > 0)),
    CONSTRAINT tax_liability_adjusted_has_reason
        CHECK (status NOT IN ('adjusted', 'credited') OR coalesce(adjustment_reason, '') ~ '\S')
);

COMMENT ON TABLE payroll.tax_liability IS 'Amount owed per tax, run and due date until deposited.';
COMMENT ON COLUMN payroll.tax_liability.liability_date IS
    'When the wages were paid: the line of Schedule B.';
COMMENT ON COLUMN payroll.tax_liability.accumulated_on IS
    'The day on which what came together in a deposit period reached the amount of the next-day
     rule: due the banking day after it, and not after its own day.';
COMMENT ON COLUMN payroll.tax_liability.overpaid_amount IS
    'What was deposited before a paycheck was voided and is no longer owed.';
COMMENT ON COLUMN payroll.tax_liability.deposit_frequency IS
    'The rhythm of its account when it was booked: what the account does later changes no day on
     which this is due.';
COMMENT ON COLUMN payroll.tax_liability.status IS
    'adjusted: a paycheck was voided before the deposit; credited: after it.';

-- FK: what is owed of a tax.
CREATE INDEX tax_liability_tax_code_idx
    ON payroll.tax_liability (business_id, tax_code_id);

-- FK: what is owed by date: deposit_schedule(), the quarter's Schedule B.
CREATE INDEX tax_liability_employer_tax_account_idx
    ON payroll.tax_liability (business_id, employer_tax_account_id, liability_date);

-- FK: what a deposit is the sum of.
CREATE INDEX tax_liability_tax_deposit_idx
    ON payroll.tax_liability (business_id, tax_deposit_id)
    WHERE tax_deposit_id IS NOT NULL;

-- tax_due_calendar: the last day of which there are liabilities.
CREATE INDEX tax_liability_day_idx
    ON payroll.tax_liability (business_id, liability_date);

-- tax_due_calendar, v_tax_liability_open: what is due and not deposited.
CREATE INDEX tax_liability_open_idx
    ON payroll.tax_liability (business_id, due_on)
    WHERE status IN ('open', 'scheduled', 'adjusted');

ALTER TABLE payroll.tax_liability ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.tax_liability
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.tax_liability TO app_user;
GRANT SELECT ON payroll.tax_liability TO app_readonly;

CREATE TRIGGER tax_liability_touch
    BEFORE UPDATE ON payroll.tax_liability
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER tax_liability_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.tax_liability
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open"],
        "transitions": {
            "open":      ["scheduled", "adjusted"],
            "adjusted":  ["scheduled"],
            "scheduled": ["open", "deposited", "credited"],
            "deposited": ["credited"],
            "credited":  []
        }}');

CREATE FUNCTION payroll.set_liability_due() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    frequency text;
    place     uuid;
BEGIN
    SELECT CASE WHEN c.tax_kind = 'futa' AND j.level = 'federal' THEN 'quarterly'
                ELSE a.deposit_frequency END, a.tax_jurisdiction_id
    INTO frequency, place
    FROM payroll.employer_tax_account AS a
    JOIN payroll.tax_code AS c
        ON c.business_id = a.business_id AND c.tax_code_id = NEW.tax_code_id
    JOIN payroll.tax_jurisdiction AS j
        ON j.business_id = c.business_id AND j.tax_jurisdiction_id = c.tax_jurisdiction_id
    WHERE a.business_id = NEW.business_id
      AND a.employer_tax_account_id = NEW.employer_tax_account_id;
    NEW.deposit_frequency := coalesce(NEW.deposit_frequency, frequency);
    NEW.deposit_rule := coalesce(NEW.deposit_rule, CASE NEW.deposit_frequency
        WHEN 'next_day' THEN 'next_day_100k' WHEN 'accelerated' THEN 'semiweekly'
        WHEN 'annual' THEN 'de_minimis' ELSE NEW.deposit_frequency END);
    NEW.due_on := payroll.deposit_due_on(place, CASE NEW.deposit_rule
        WHEN 'next_day_100k' THEN 'next_day' WHEN 'de_minimis' THEN 'annual'
        ELSE NEW.deposit_rule END, coalesce(NEW.accumulated_on, NEW.liability_date));
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.set_liability_due() IS
    'A liability is due by the rhythm of its account, unless more came together within a period
     than may wait (deposit_schedule()).';

CREATE TRIGGER tax_liability_due
    BEFORE INSERT OR UPDATE OF deposit_rule, liability_date, accumulated_on,
                               employer_tax_account_id, due_on
    ON payroll.tax_liability
    FOR EACH ROW EXECUTE FUNCTION payroll.set_liability_due();

CREATE FUNCTION payroll.require_whole_deposit() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    before CONSTANT jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) ELSE '{}' END;
    after  CONSTANT jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) ELSE '{}' END;
    tenant CONSTANT uuid := coalesce(after ->> 'business_id', before ->> 'business_id');
    wrong  record;
BEGIN
    SELECT d.deposit_number, d.amount, s.owed INTO wrong
    FROM payroll.tax_deposit AS d
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(l.total_amount), 0) AS owed
        FROM payroll.tax_liability AS l
        WHERE l.business_id = tenant AND l.tax_deposit_id = d.tax_deposit_id
    ) AS s
    WHERE d.business_id = tenant
      AND d.tax_deposit_id IN ((before ->> 'tax_deposit_id')::uuid,
                               (after ->> 'tax_deposit_id')::uuid)
      AND d.status <> 'rejected' AND d.amount <> s.owed;
    IF FOUND THEN
        RAISE EXCEPTION 'deposit % is of % and its liabilities are %', wrong.deposit_number,
                        wrong.amount, wrong.owed
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.require_whole_deposit() IS
    'At the end of a transaction a deposit is the sum of its liabilities.';

CREATE CONSTRAINT TRIGGER tax_deposit_is_its_liabilities
    AFTER INSERT OR UPDATE OF amount, status ON payroll.tax_deposit
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION payroll.require_whole_deposit();

CREATE CONSTRAINT TRIGGER tax_liability_of_its_deposit
    AFTER INSERT OR UPDATE OF tax_deposit_id, employee_amount, employer_amount OR DELETE
    ON payroll.tax_liability
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION payroll.require_whole_deposit();

CREATE FUNCTION payroll.follow_tax_deposit() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE payroll.tax_liability AS l
    SET status = CASE NEW.status WHEN 'settled' THEN 'deposited' ELSE 'open' END,
        tax_deposit_id = CASE NEW.status WHEN 'settled' THEN l.tax_deposit_id END
    WHERE l.business_id = NEW.business_id AND l.tax_deposit_id = NEW.tax_deposit_id
      AND l.status = 'scheduled';
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.follow_tax_deposit() IS
    'What a settled deposit paid is deposited; what a rejected one did not is open again.';

CREATE TRIGGER tax_deposit_followed
    AFTER UPDATE OF status ON payroll.tax_deposit
    FOR EACH ROW WHEN (OLD.status <> NEW.status AND NEW.status IN ('settled', 'rejected'))
    EXECUTE FUNCTION payroll.follow_tax_deposit();


CREATE FUNCTION payroll.lookback_frequency(employer uuid, year integer) RETURNS text
    LANGUAGE sql STABLE
    RETURN (
        SELECT CASE WHEN count(*) = 0 THEN NULL
                    WHEN sum(l.total_amount - l.overpaid_amount) > max(r.lookback_over_amount)
                    THEN 'semiweekly' ELSE 'monthly' END
        FROM payroll.employer_tax_account AS a
        JOIN payroll.tax_jurisdiction AS j
            ON j.business_id = a.business_id AND j.tax_jurisdiction_id = a.tax_jurisdiction_id
           AND j.level = 'federal'
        CROSS JOIN LATERAL payroll.deposit_rule_on(a.tax_jurisdiction_id,
                                                   make_date(year, 1, 1)) AS r
        JOIN payroll.tax_liability AS l
            ON l.business_id = a.business_id
           AND l.employer_tax_account_id = a.employer_tax_account_id
           -- From July of the year before last to June of the last.
           AND l.liability_date >= make_date(year - 2, 7, 1)
           AND l.liability_date < make_date(year - 1, 7, 1)
        JOIN payroll.tax_code AS c
            ON c.business_id = l.business_id AND c.tax_code_id = l.tax_code_id
           AND c.tax_kind <> 'futa'
        WHERE a.business_id = tenant_mgmt.current_business_id()
          AND a.employer_entity_id = employer);
COMMENT ON FUNCTION payroll.lookback_frequency(uuid, integer) IS
    'The rhythm in which an employer of the calling tenant deposits in a year, by what it owed in
     the look-back; NULL: it owed nothing then.';

CREATE FUNCTION payroll.owed_taxes(run uuid)
    RETURNS TABLE (tax_code_id uuid, employer_tax_account_id uuid, check_date date,
                   employee_amount numeric, employer_amount numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT t.tax_code_id, a.employer_tax_account_id, r.check_date,
           coalesce(sum(t.tax_amount) FILTER (WHERE t.payer = 'employee'), 0),
           coalesce(sum(t.tax_amount) FILTER (WHERE t.payer = 'employer'), 0)
    FROM payroll.pay_run AS r
    JOIN payroll.paycheck AS p
        ON p.business_id = r.business_id AND p.pay_run_id = r.pay_run_id
       AND payroll.paycheck_counts(p.status)
    JOIN payroll.paycheck_tax AS t
        ON t.business_id = p.business_id AND t.paycheck_id = p.paycheck_id
    LEFT JOIN LATERAL (
        SELECT x.employer_tax_account_id
        FROM payroll.employer_tax_account AS x
        WHERE x.business_id = r.business_id AND x.employer_entity_id = r.employer_entity_id
          AND x.tax_jurisdiction_id = t.tax_jurisdiction_id AND x.status <> 'closed'
        -- The tax's own account first; a state's other taxes go with its income tax.
        ORDER BY x.tax_code_id IS DISTINCT FROM t.tax_code_id, x.tax_code_id IS NOT NULL,
                 x.account_number, x.employer_tax_account_id
        LIMIT 1
    ) AS a ON true
    WHERE r.business_id = tenant_mgmt.current_business_id() AND r.pay_run_id = run
    GROUP BY t.tax_code_id, a.employer_tax_account_id, r.check_date
    HAVING sum(t.tax_amount) <> 0;
END;
COMMENT ON FUNCTION payroll.owed_taxes(uuid) IS
    'What a run of the calling tenant owes by tax, and to which account; without one where the
     employer is not registered.';

CREATE FUNCTION payroll.book_tax_liabilities(run uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant   CONSTANT uuid := tenant_mgmt.current_business_id();
    of_run   payroll.pay_run;
    lacking  text;
    made     integer;
BEGIN
    SELECT r.* INTO of_run
    FROM payroll.pay_run AS r
    WHERE r.business_id = tenant AND r.pay_run_id = run
    FOR NO KEY UPDATE;
    IF coalesce(of_run.status, '') NOT IN ('approved', 'funded', 'paid', 'partially_returned') THEN
        RAISE EXCEPTION 'a run owes taxes once it is approved, not %',
                        coalesce(of_run.status, 'missing')
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    SELECT string_agg(DISTINCT c.code, ', ') INTO lacking
    FROM payroll.owed_taxes(run) AS o
    JOIN payroll.tax_code AS c ON c.business_id = tenant AND c.tax_code_id = o.tax_code_id
    WHERE o.employer_tax_account_id IS NULL;
    IF lacking IS NOT NULL THEN
        RAISE EXCEPTION 'the employer of run % is not registered for %', of_run.run_number, lacking
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Add an employer_tax_account.';
    END IF;
    INSERT INTO payroll.tax_liability
        (business_id, pay_run_id, tax_code_id, employer_tax_account_id, check_date,
         liability_date, employee_amount, employer_amount)
    SELECT tenant, run, o.tax_code_id, o.employer_tax_account_id, o.check_date, o.check_date,
           o.employee_amount, o.employer_amount
    FROM payroll.owed_taxes(run) AS o
    ORDER BY o.tax_code_id
    ON CONFLICT (business_id, pay_run_id, tax_code_id, employer_tax_account_id) DO NOTHING;
    GET DIAGNOSTICS made = ROW_COUNT;
    PERFORM payroll.apply_next_day_rule(of_run.employer_entity_id, of_run.check_date);
    RETURN made;
END
$$;
COMMENT ON FUNCTION payroll.book_tax_liabilities(uuid) IS
    'Books what a run of the calling tenant owes, once, with its due dates. How many are new.';

CREATE FUNCTION payroll.deposit_schedule(employer uuid, from_date date, to_date date)
    RETURNS TABLE (employer_tax_account_id uuid, filing_form text, deposit_rule text,
                   period_end date, due_on date, amount numeric, liabilities uuid[])
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenant    CONSTANT uuid := tenant_mgmt.current_business_id();
    owed      record;
    account   uuid;
    form      text;
    frequency text;
    rhythm    text;
    ends_on   date;
    is_fast   boolean := false;
    pending   numeric := 0;
    parts     uuid[] := '{}';
    place     uuid;
BEGIN
    FOR owed IN
        SELECT a.employer_tax_account_id AS key, a.tax_jurisdiction_id AS place, c.filing_form,
               -- What a run owes on the day that moved the account is of the rhythm before.
               (array_agg(l.deposit_frequency ORDER BY l.deposit_frequency <> 'monthly',
                                                       l.deposit_frequency))[1] AS usual,
               l.liability_date AS day, sum(l.total_amount) AS total,
               array_agg(l.tax_liability_id ORDER BY l.pay_run_id, l.tax_code_id) AS keys,
               -- With the day's own, and only where it is the account's to watch.
               min(d.next_day_over_amount) AS over
        FROM payroll.employer_tax_account AS a
        JOIN payroll.tax_liability AS l
            ON l.business_id = a.business_id
           AND l.employer_tax_account_id = a.employer_tax_account_id
           AND l.status IN ('open', 'adjusted') AND l.total_amount > 0
           AND l.liability_date BETWEEN from_date AND to_date
        JOIN payroll.tax_code AS c
            ON c.business_id = l.business_id AND c.tax_code_id = l.tax_code_id
        LEFT JOIN payroll.deposit_rule AS d
            ON d.business_id = a.business_id AND d.tax_jurisdiction_id = a.tax_jurisdiction_id
           AND daterange(d.effective_from, d.effective_until) @> l.liability_date
           AND c.tax_kind <> 'futa'
        WHERE a.business_id = tenant AND a.employer_entity_id = employer
        GROUP BY a.employer_tax_account_id, a.tax_jurisdiction_id, c.filing_form,
                 c.tax_kind = 'futa', l.liability_date
        ORDER BY a.employer_tax_account_id, c.filing_form, c.tax_kind = 'futa', l.liability_date
    LOOP
        IF (account, form) IS DISTINCT FROM (owed.key, owed.filing_form) THEN
            is_fast := false;
        END IF;
        -- Who had to deposit the next day once deposits every half week from then on.
        rhythm := CASE WHEN is_fast AND owed.usual = 'monthly' THEN 'semiweekly'
                       ELSE owed.usual END;
        IF pending > 0 AND (account, form, frequency, ends_on) IS DISTINCT FROM
           (owed.key, owed.filing_form, rhythm,
            payroll.deposit_period_end(rhythm, owed.day)) THEN
            RETURN QUERY SELECT account, form, r.rule, ends_on,
                                payroll.deposit_due_on(place, frequency, ends_on), pending, parts
            FROM (SELECT CASE frequency WHEN 'next_day' THEN 'next_day_100k'
                             WHEN 'accelerated' THEN 'semiweekly' WHEN 'annual' THEN 'de_minimis'
                             ELSE frequency END AS rule) AS r;
            pending := 0;
            parts := '{}';
        END IF;
        account := owed.key;
        form := owed.filing_form;
        place := owed.place;
        frequency := rhythm;
        ends_on := payroll.deposit_period_end(frequency, owed.day);
        pending := pending + owed.total;
        parts := parts || owed.keys;
        IF pending >= owed.over THEN
            RETURN QUERY SELECT account, form, 'next_day_100k', owed.day,
                                payroll.deposit_due_on(place, 'next_day', owed.day), pending,
                                parts;
            pending := 0;
            parts := '{}';
            is_fast := true;
        END IF;
    END LOOP;
    IF pending > 0 THEN
        RETURN QUERY SELECT account, form, r.rule, ends_on,
                            payroll.deposit_due_on(place, frequency, ends_on), pending, parts
        FROM (SELECT CASE frequency WHEN 'next_day' THEN 'next_day_100k'
                         WHEN 'accelerated' THEN 'semiweekly' WHEN 'annual' THEN 'de_minimis'
                         ELSE frequency END AS rule) AS r;
    END IF;
END
$$;
COMMENT ON FUNCTION payroll.deposit_schedule(uuid, date, date) IS
    'The deposits that an employer of the calling tenant owes for what is open between two dates:
     by account, return and period of its rhythm; what reaches the amount of the rule within a
     period is due the next banking day, and a monthly depositor is a semiweekly one from then on.';

CREATE FUNCTION payroll.apply_next_day_rule(employer uuid, day date) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    UPDATE payroll.tax_liability AS l
    SET deposit_rule = s.deposit_rule,
        accumulated_on = CASE s.deposit_rule WHEN 'next_day_100k' THEN s.period_end END
    FROM payroll.deposit_schedule(employer, date_trunc('year', day::timestamp)::date, day) AS s
    WHERE l.business_id = tenant AND l.tax_liability_id = ANY (s.liabilities)
      AND l.deposit_rule <> s.deposit_rule;
    -- What was due the next day moves the account itself.
    UPDATE payroll.employer_tax_account AS a
    SET deposit_frequency = 'semiweekly'
    WHERE a.business_id = tenant AND a.employer_entity_id = employer
      AND a.deposit_frequency = 'monthly' AND EXISTS (
          SELECT
          FROM payroll.tax_liability AS l
          WHERE l.business_id = tenant AND l.deposit_rule = 'next_day_100k'
            AND l.employer_tax_account_id = a.employer_tax_account_id
            AND l.liability_date = day);
END
$$;
COMMENT ON FUNCTION payroll.apply_next_day_rule(uuid, date) IS
    'Brings forward what came together within a deposit period of an employer of the calling
     tenant; a monthly depositor becomes a semiweekly one.';

CREATE FUNCTION payroll.deposit_taxes(
    employer  uuid,
    from_date date,
    to_date   date,
    bank      uuid DEFAULT NULL
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    due     record;
    deposit uuid;
    made    integer := 0;
BEGIN
    -- Two at once would schedule the same liability twice.
    PERFORM FROM payroll.employer_entity AS e
    WHERE e.business_id = tenant AND e.employer_entity_id = employer
    FOR NO KEY UPDATE;
    FOR due IN
        SELECT s.*, a.eftps_enrolled, a.account_number
        FROM payroll.deposit_schedule(employer, from_date, to_date) AS s
        JOIN payroll.employer_tax_account AS a
            ON a.business_id = tenant AND a.employer_tax_account_id = s.employer_tax_account_id
        -- A period that is still running may owe more.
        WHERE s.period_end <= to_date
        ORDER BY s.due_on, s.employer_tax_account_id, s.filing_form
    LOOP
        INSERT INTO payroll.tax_deposit
            (business_id, employer_tax_account_id, employer_bank_account_id, deposit_number,
             filing_form, due_on, amount, method, period_end)
        SELECT tenant, due.employer_tax_account_id, bank,
               format('TD-%s-%s', to_char(due.period_end, 'YYYYMMDD'),
                      right((due.liabilities)[1]::text, 12)
                      || CASE n.before WHEN 0 THEN '' ELSE '-' || n.before END),
               due.filing_form, due.due_on, due.amount,
               CASE WHEN due.eftps_enrolled THEN 'eftps' ELSE 'state_portal' END, due.period_end
        FROM (
            SELECT count(*) AS before
            FROM payroll.tax_deposit AS d
            WHERE d.business_id = tenant AND d.status = 'rejected'
              AND d.employer_tax_account_id = due.employer_tax_account_id
              AND d.period_end = due.period_end
        ) AS n
        RETURNING tax_deposit_id INTO deposit;
        UPDATE payroll.tax_liability AS l
        SET status = 'scheduled', tax_deposit_id = deposit
        WHERE l.business_id = tenant AND l.tax_liability_id = ANY (due.liabilities);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION payroll.deposit_taxes(uuid, date, date, uuid) IS
    'Schedules the deposits of an employer of the calling tenant for the periods that have ended
     between two dates. How many; two at once schedule each liability once.';

CREATE FUNCTION payroll.lower_voided_liabilities() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- What is not on its way is lowered; what is, was too much.
    UPDATE payroll.tax_liability AS l
    SET employee_amount = CASE WHEN l.tax_deposit_id IS NULL THEN l.employee_amount - t.employee
                               ELSE l.employee_amount END,
        employer_amount = CASE WHEN l.tax_deposit_id IS NULL THEN l.employer_amount - t.employer
                               ELSE l.employer_amount END,
        overpaid_amount = CASE WHEN l.tax_deposit_id IS NULL THEN 0
                               ELSE l.overpaid_amount + t.employee + t.employer END,
        status = CASE WHEN l.tax_deposit_id IS NULL THEN 'adjusted' ELSE 'credited' END,
        adjustment_reason = coalesce(l.adjustment_reason || '; ', '')
                            || format('check %s was voided', NEW.check_number)
    FROM (
        SELECT x.tax_code_id,
               coalesce(sum(x.tax_amount) FILTER (WHERE x.payer = 'employee'), 0) AS employee,
               coalesce(sum(x.tax_amount) FILTER (WHERE x.payer = 'employer'), 0) AS employer
        FROM payroll.paycheck_tax AS x
        WHERE x.business_id = NEW.business_id AND x.paycheck_id = NEW.paycheck_id
        GROUP BY x.tax_code_id
        HAVING sum(x.tax_amount) > 0
    ) AS t
    WHERE l.business_id = NEW.business_id AND l.pay_run_id = NEW.pay_run_id
      AND l.tax_code_id = t.tax_code_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.lower_voided_liabilities() IS
    'The taxes of a voided paycheck are no longer owed.';

CREATE TRIGGER paycheck_voided_owes_nothing
    AFTER UPDATE OF status ON payroll.paycheck
    FOR EACH ROW WHEN (NEW.status = 'voided' AND OLD.status <> 'voided')
    EXECUTE FUNCTION payroll.lower_voided_liabilities();

CREATE FUNCTION payroll.liability_differences()
    RETURNS TABLE (pay_run_id uuid, tax_code_id uuid, said numeric, found numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH booked AS (
        SELECT l.pay_run_id, l.tax_code_id, sum(l.total_amount - l.overpaid_amount) AS amount
        FROM payroll.tax_liability AS l
        WHERE l.business_id = tenant_mgmt.current_business_id()
        GROUP BY l.pay_run_id, l.tax_code_id
    ), owed AS (
        SELECT r.pay_run_id, o.tax_code_id, sum(o.employee_amount + o.employer_amount) AS amount
        FROM (SELECT DISTINCT b.pay_run_id FROM booked AS b) AS r
        CROSS JOIN LATERAL payroll.owed_taxes(r.pay_run_id) AS o
        GROUP BY r.pay_run_id, o.tax_code_id
    )
    SELECT coalesce(b.pay_run_id, o.pay_run_id), coalesce(b.tax_code_id, o.tax_code_id),
           coalesce(b.amount, 0), coalesce(o.amount, 0)
    FROM booked AS b
    FULL JOIN owed AS o ON o.pay_run_id = b.pay_run_id AND o.tax_code_id = b.tax_code_id
    WHERE coalesce(b.amount, 0) <> coalesce(o.amount, 0);
END;
COMMENT ON FUNCTION payroll.liability_differences() IS
    'Proves the liabilities of the calling tenant: runs that are booked and owe something else by
     their paychecks.';

CREATE VIEW payroll.v_tax_liability_open WITH (security_invoker = true) AS
SELECT l.business_id, a.employer_entity_id, l.employer_tax_account_id, j.code AS jurisdiction,
       c.filing_form, l.tax_liability_id, r.run_number, c.code AS tax, l.liability_date, l.due_on,
       l.deposit_rule, l.status, l.total_amount, l.tax_deposit_id,
       l.due_on - (now() AT TIME ZONE 'UTC')::date AS days_left
FROM payroll.tax_liability AS l
JOIN payroll.pay_run AS r ON r.business_id = l.business_id AND r.pay_run_id = l.pay_run_id
JOIN payroll.tax_code AS c ON c.business_id = l.business_id AND c.tax_code_id = l.tax_code_id
JOIN payroll.employer_tax_account AS a
    ON a.business_id = l.business_id AND a.employer_tax_account_id = l.employer_tax_account_id
JOIN payroll.tax_jurisdiction AS j
    ON j.business_id = a.business_id AND j.tax_jurisdiction_id = a.tax_jurisdiction_id
WHERE l.status IN ('open', 'scheduled', 'adjusted') AND l.total_amount > 0;
COMMENT ON VIEW payroll.v_tax_liability_open IS
    'Undeposited liabilities with due date and days left.';
GRANT SELECT ON payroll.v_tax_liability_open TO app_user, app_readonly;


-- What an earlier file points to here.
ALTER TABLE payroll.payment_entry
    ADD FOREIGN KEY (business_id, tax_deposit_id)
        REFERENCES payroll.tax_deposit (business_id, tax_deposit_id);
