/*
 * The calendar of duties: what an employer owes to somebody by a day.
 *
 * plan_deadlines() writes the compliance_deadlines of a year: every return and deposit that the tax
 * tables of 50 and 55 know, forms of the year's end, reports of new hires, yearly posters. A return
 * that is filed or a deposit that settles closes its deadline by trigger; note_late_deadlines() is
 * the nightly look at what was missed, due_reminders() who is to be told today.
 */

CREATE TABLE payroll.compliance_deadline (
    business_id            uuid              NOT NULL,
    compliance_deadline_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    employer_entity_id     uuid              NOT NULL,
    tax_filing_id          uuid,
    tax_deposit_id         uuid,
    owner_user_account_id  uuid,
    duty_code              system_core.code  NOT NULL,
    title                  text              NOT NULL,
    jurisdiction_code      system_core.code  NOT NULL DEFAULT 'US',
    period_end             date              NOT NULL,
    due_on                 date              NOT NULL,
    reminder_days          integer[]         NOT NULL DEFAULT '{14,3}',
    status                 text              NOT NULL DEFAULT 'upcoming',
    completed_on           date,
    penalty_risk_amount    system_core.money NOT NULL DEFAULT 0,
    note                   text,
    created_at             timestamptz       NOT NULL DEFAULT now(),
    updated_at             timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, compliance_deadline_id),
    UNIQUE (business_id, employer_entity_id, duty_code, period_end),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    FOREIGN KEY (business_id, tax_filing_id)
        REFERENCES payroll.tax_filing (business_id, tax_filing_id),
    FOREIGN KEY (business_id, tax_deposit_id)
        REFERENCES payroll.tax_deposit (business_id, tax_deposit_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT compliance_deadline_status_known
        CHECK (status IN ('upcoming', 'in_progress', 'done', 'late', 'not_applicable')),
    CONSTRAINT compliance_deadline_titled CHECK (title ~ '\S'),
    CONSTRAINT compliance_deadline_done_has_day
        CHECK ((status = 'done') = (completed_on IS NOT NULL)),
    CONSTRAINT compliance_deadline_of_one_document
        CHECK (num_nonnulls(tax_filing_id, tax_deposit_id) <= 1),
    CONSTRAINT compliance_deadline_reminds_ahead CHECK (0 <= ALL (reminder_days)),
    CONSTRAINT compliance_deadline_risk_not_negative CHECK (penalty_risk_amount >= 0),
    CONSTRAINT compliance_deadline_not_applicable_says_why
        CHECK (status <> 'not_applicable' OR coalesce(note, '') ~ '\S')
);

COMMENT ON TABLE payroll.compliance_deadline IS
    'Dated duty: deposit, return, W-2, 1095-C, ACA, EEO, new-hire, poster.';
COMMENT ON COLUMN payroll.compliance_deadline.duty_code IS
    'The duty within its period: RET-941-<account>, DEP-<deposit number>, W2, 1095C,
     NEWHIRE-<employee number>, POSTER.';
COMMENT ON COLUMN payroll.compliance_deadline.reminder_days IS 'Days before, each a reminder.';
COMMENT ON COLUMN payroll.compliance_deadline.penalty_risk_amount IS
    'What it may cost to miss the day.';

-- tax_due_calendar, note_late_deadlines(): what is open by date.
CREATE INDEX compliance_deadline_open_idx
    ON payroll.compliance_deadline (business_id, due_on)
    WHERE status IN ('upcoming', 'in_progress', 'late');

-- FK: the deadlines that somebody keeps.
CREATE INDEX compliance_deadline_owner_user_account_idx
    ON payroll.compliance_deadline (business_id, owner_user_account_id)
    WHERE owner_user_account_id IS NOT NULL;

-- FK: the deadline of a return.
CREATE UNIQUE INDEX compliance_deadline_tax_filing_idx
    ON payroll.compliance_deadline (business_id, tax_filing_id)
    WHERE tax_filing_id IS NOT NULL;

-- FK: the deadline of a deposit.
CREATE UNIQUE INDEX compliance_deadline_tax_deposit_idx
    ON payroll.compliance_deadline (business_id, tax_deposit_id)
    WHERE tax_deposit_id IS NOT NULL;

ALTER TABLE payroll.compliance_deadline ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.compliance_deadline
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.compliance_deadline TO app_user;
GRANT SELECT ON payroll.compliance_deadline TO app_readonly;

CREATE TRIGGER compliance_deadline_touch
    BEFORE UPDATE ON payroll.compliance_deadline
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER compliance_deadline_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.compliance_deadline
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["upcoming"],
        "transitions": {
            "upcoming":       ["in_progress", "done", "late", "not_applicable"],
            "in_progress":    ["upcoming", "done", "late", "not_applicable"],
            "late":           ["done", "not_applicable"],
            "done":           ["in_progress", "late"],
            "not_applicable": ["upcoming"]
        }}');

CREATE FUNCTION payroll.duty_code(kind text, of_what text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN kind || '-' || left(regexp_replace(of_what, '[^A-Za-z0-9]+', '-', 'g'), 50);
COMMENT ON FUNCTION payroll.duty_code(text, text) IS
    'The code of a duty about one document or person, whatever characters its number is of.';

CREATE FUNCTION payroll.plan_deadlines(employer uuid, year integer, office uuid DEFAULT NULL)
    RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   integer;
BEGIN
    -- What was foreseen and has its document by now.
    UPDATE payroll.compliance_deadline AS d
    SET tax_filing_id = f.tax_filing_id, due_on = f.due_on
    FROM payroll.tax_filing AS f
    JOIN payroll.employer_tax_account AS a
        ON a.business_id = f.business_id
       AND a.employer_tax_account_id = f.employer_tax_account_id
    WHERE d.business_id = tenant AND d.employer_entity_id = employer AND d.tax_filing_id IS NULL
      AND f.business_id = tenant AND a.employer_entity_id = employer
      AND f.amends_tax_filing_id IS NULL AND f.period_end = d.period_end
      AND d.duty_code = payroll.duty_code('RET', f.form_code || '-' || a.account_number);
    INSERT INTO payroll.compliance_deadline
        (business_id, employer_entity_id, tax_filing_id, tax_deposit_id, owner_user_account_id,
         duty_code, title, jurisdiction_code, period_end, due_on, penalty_risk_amount)
    SELECT tenant, employer, d.filing, d.deposit, office, d.duty, d.title, d.place, d.period_end,
           d.due_on, d.risk
    FROM (
        -- 26 USC 6651: 5 % a month and 25 % at most for a return that is not filed.
        SELECT f.tax_filing_id AS filing, NULL::uuid AS deposit,
               payroll.duty_code('RET', f.form_code || '-' || a.account_number) AS duty,
               f.form_code || ' for the period to ' || f.period_end AS title, j.code AS place,
               f.period_end, f.due_on, round(greatest(f.total_tax_amount, 0) * 0.05, 2) AS risk
        FROM payroll.tax_filing AS f
        JOIN payroll.employer_tax_account AS a
            ON a.business_id = f.business_id
           AND a.employer_tax_account_id = f.employer_tax_account_id
        JOIN payroll.tax_jurisdiction AS j
            ON j.business_id = a.business_id AND j.tax_jurisdiction_id = a.tax_jurisdiction_id
        WHERE f.business_id = tenant AND a.employer_entity_id = employer
          AND f.amends_tax_filing_id IS NULL
          AND extract(year FROM f.due_on) = year
        UNION ALL
        -- What was filed for the same period of the year before is due again.
        SELECT NULL, NULL, payroll.duty_code('RET', f.form_code || '-' || a.account_number),
               f.form_code || ' for the period to ' || n.period_end, j.code, n.period_end,
               n.due_on, round(greatest(f.total_tax_amount, 0) * 0.05, 2)
        FROM payroll.tax_filing AS f
        JOIN payroll.employer_tax_account AS a
            ON a.business_id = f.business_id
           AND a.employer_tax_account_id = f.employer_tax_account_id AND a.status = 'active'
        JOIN payroll.tax_jurisdiction AS j
            ON j.business_id = a.business_id AND j.tax_jurisdiction_id = a.tax_jurisdiction_id
        CROSS JOIN LATERAL (
            SELECT p.period_end,
                   payroll.banking_day(
                       payroll.return_due_on(j.tax_jurisdiction_id, p.period_end) - 1, 1) AS due_on
            FROM (SELECT (f.period_end + interval '1 year')::date AS period_end) AS p
        ) AS n
        WHERE f.business_id = tenant AND a.employer_entity_id = employer
          AND f.amends_tax_filing_id IS NULL AND extract(year FROM f.due_on) = year - 1
          AND NOT EXISTS (
              SELECT
              FROM payroll.tax_filing AS x
              WHERE x.business_id = f.business_id AND x.form_code = f.form_code
                AND x.employer_tax_account_id = f.employer_tax_account_id
                AND x.period_end = n.period_end)
        UNION ALL
        -- 26 USC 6656: 10 % of a deposit that is more than 15 days late.
        SELECT NULL, t.tax_deposit_id, payroll.duty_code('DEP', t.deposit_number),
               t.filing_form || ' deposit of ' || t.amount, j.code, t.period_end, t.due_on,
               round(t.amount * 0.10, 2)
        FROM payroll.tax_deposit AS t
        JOIN payroll.employer_tax_account AS a
            ON a.business_id = t.business_id
           AND a.employer_tax_account_id = t.employer_tax_account_id
        JOIN payroll.tax_jurisdiction AS j
            ON j.business_id = a.business_id AND j.tax_jurisdiction_id = a.tax_jurisdiction_id
        WHERE t.business_id = tenant AND a.employer_entity_id = employer
          AND extract(year FROM t.due_on) = year
        UNION ALL
        SELECT NULL, NULL, payroll.duty_code('NEWHIRE', e.employee_number),
               'Report of the hire of ' || e.employee_number, n.state_code, s.hired_on, n.due_on,
               25   -- 42 USC 653a(d): at most 25 for each
        FROM payroll.new_hire_report AS n
        JOIN payroll.employment_spell AS s
            ON s.business_id = n.business_id AND s.employment_spell_id = n.employment_spell_id
        JOIN payroll.employee AS e
            ON e.business_id = n.business_id AND e.employee_id = n.employee_id
        WHERE n.business_id = tenant AND s.employer_entity_id = employer
          AND extract(year FROM n.due_on) = year
        UNION ALL
        SELECT NULL, NULL, y.duty, y.title, 'US', make_date(year - 1, 12, 31),
               payroll.banking_day(make_date(year, y.month, y.day) - 1, 1), y.risk
        FROM payroll.employer_entity AS e
        JOIN (VALUES
            -- 26 USC 6721: what one form that is missing may cost, times the people.
            ('W2', 'W-2 to employees and the SSA', 1, 31, false, 340),
            ('1099NEC', '1099-NEC to contractors and the IRS', 1, 31, false, 340),
            ('1095C', '1095-C to employees', 3, 2, true, 340),
            ('1094C', '1094-C to the IRS', 3, 31, true, 340),
            ('EEO1', 'EEO-1 report', 6, 30, true, 0),
            ('POSTER', 'Labor law posters of the year', 1, 15, false, 0)
        ) AS y (duty, title, month, day, is_for_large, risk)
            ON e.is_applicable_large_employer OR NOT y.is_for_large
        WHERE e.business_id = tenant AND e.employer_entity_id = employer
    ) AS d
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;
COMMENT ON FUNCTION payroll.plan_deadlines(uuid, integer, uuid) IS
    'Writes what an employer of the calling tenant owes by days of a year and is not in the
     calendar yet; returns how many duties it added.';

CREATE FUNCTION payroll.follow_deadline() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    document CONSTANT jsonb := to_jsonb(NEW);
    is_done  CONSTANT boolean := NEW.status IN ('filed', 'accepted', 'amended', 'settled');
    done_on  CONSTANT date := coalesce(
        (document ->> 'settled_on')::date,
        ((document ->> 'filed_at')::timestamptz AT TIME ZONE 'UTC')::date);
BEGIN
    UPDATE payroll.compliance_deadline AS d
    SET status = CASE WHEN is_done THEN 'done' ELSE 'in_progress' END,
        completed_on = CASE WHEN is_done THEN done_on END
    WHERE d.business_id = NEW.business_id
      AND (d.tax_filing_id = (document ->> 'tax_filing_id')::uuid
           OR d.tax_deposit_id = (document ->> 'tax_deposit_id')::uuid)
      AND d.status = ANY (CASE WHEN is_done THEN ARRAY['upcoming', 'in_progress', 'late']
                               -- What is late stays late until it is done.
                               ELSE ARRAY['upcoming', 'done'] END);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.follow_deadline() IS
    'A return that is filed, a deposit that settled, closes its deadline; one that comes back opens
     it again.';

CREATE TRIGGER tax_filing_closes_deadline
    AFTER UPDATE OF status ON payroll.tax_filing
    FOR EACH ROW WHEN (OLD.status <> NEW.status
                       AND NEW.status IN ('preparing', 'ready', 'filed', 'accepted', 'rejected'))
    EXECUTE FUNCTION payroll.follow_deadline();
CREATE TRIGGER tax_deposit_closes_deadline
    AFTER UPDATE OF status ON payroll.tax_deposit
    FOR EACH ROW WHEN (OLD.status <> NEW.status
                       AND NEW.status IN ('initiated', 'settled', 'rejected'))
    EXECUTE FUNCTION payroll.follow_deadline();

CREATE FUNCTION payroll.note_late_deadlines(today date DEFAULT current_date) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    changed integer;
BEGIN
    UPDATE payroll.compliance_deadline AS d
    SET status = 'late'
    WHERE d.business_id = tenant_mgmt.current_business_id()
      AND d.status IN ('upcoming', 'in_progress') AND d.due_on < today;
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN changed;
END
$$;
COMMENT ON FUNCTION payroll.note_late_deadlines(date) IS
    'Every night: what the calling tenant was to do before today and has not is late. Returns how
     much of it is new.';

CREATE FUNCTION payroll.due_reminders(today date DEFAULT current_date)
    RETURNS TABLE (compliance_deadline_id uuid, owner_user_account_id uuid, title text,
                   due_on date, days_left integer, is_last boolean)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT d.compliance_deadline_id, d.owner_user_account_id, d.title, d.due_on, d.due_on - today,
           (SELECT min(x) FROM unnest(d.reminder_days) AS x) = d.due_on - today
    FROM payroll.compliance_deadline AS d
    WHERE d.business_id = tenant_mgmt.current_business_id()
      AND d.status IN ('upcoming', 'in_progress') AND d.due_on >= today
      AND d.due_on - today = ANY (d.reminder_days)
    ORDER BY d.due_on, d.title, d.compliance_deadline_id;
END;
COMMENT ON FUNCTION payroll.due_reminders(date) IS
    'Who of the calling tenant is reminded of what today.';

CREATE FUNCTION payroll.compliance_calendar(today date, ahead integer DEFAULT 30)
    RETURNS TABLE (compliance_deadline_id uuid, employer_entity_id uuid, duty_code text,
                   title text, jurisdiction_code text, due_on date, days_left integer,
                   state text, penalty_risk_amount numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT d.compliance_deadline_id, d.employer_entity_id, d.duty_code, d.title,
           d.jurisdiction_code, d.due_on, d.due_on - today,
           -- Without waiting for the night: what was due yesterday is late today.
           CASE WHEN d.due_on < today THEN 'late' ELSE d.status END, d.penalty_risk_amount
    FROM payroll.compliance_deadline AS d
    WHERE d.business_id = tenant_mgmt.current_business_id()
      AND d.status IN ('upcoming', 'in_progress', 'late') AND d.due_on <= today + ahead
    ORDER BY d.due_on, d.duty_code, d.compliance_deadline_id;
END;
COMMENT ON FUNCTION payroll.compliance_calendar(date, integer) IS
    'What the calling tenant still has to do by so many days from a day, and what it has missed.';
