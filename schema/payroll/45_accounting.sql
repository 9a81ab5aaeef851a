/*
 * Payroll in the books: which account each item posts to, and the journal of each run.
 *
 * A gl_account_map says which ledger account an item debits or credits: pay, deductions, taxes, the
 * net. The closest one holds: of the code before that of the kind, of the department before that of
 * all. write_journal() makes a draft journal_entry of a run with a journal_line for each account,
 * department, place and item; posting it refuses what does not balance, and from then on neither it
 * nor a line changes. A paycheck that is voided after its run was posted is taken back by a reversal
 * of its own, so the books keep both.
 *
 * Expense: earnings, reimbursements, the employer's taxes and contributions. Owed: taxes, deductions,
 * the net pay, until each is paid. journal_differences() proves that entries balance and that a
 * run's entry is its register to the cent.
 */

CREATE TABLE payroll.gl_account_map (
    business_id        uuid        NOT NULL,
    gl_account_map_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    earning_code_id    uuid,
    deduction_code_id  uuid,
    tax_code_id        uuid,
    department_id      uuid,
    item_kind          text        NOT NULL,
    side               text        NOT NULL,
    account_number     text        NOT NULL,
    account_name       text        NOT NULL,
    cost_center_source text        NOT NULL DEFAULT 'fixed',
    effective_from     date        NOT NULL,
    effective_until    date,
    priority           integer     NOT NULL DEFAULT 100,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, gl_account_map_id),
    UNIQUE NULLS NOT DISTINCT (business_id, item_kind, side, earning_code_id, deduction_code_id,
                               tax_code_id, department_id, effective_from),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, earning_code_id)
        REFERENCES payroll.earning_code (business_id, earning_code_id),
    FOREIGN KEY (business_id, deduction_code_id)
        REFERENCES payroll.deduction_code (business_id, deduction_code_id),
    FOREIGN KEY (business_id, tax_code_id) REFERENCES payroll.tax_code (business_id, tax_code_id),
    FOREIGN KEY (business_id, department_id)
        REFERENCES payroll.department (business_id, department_id),
    CONSTRAINT gl_account_map_item_kind_known
        CHECK (item_kind IN ('earning', 'deduction', 'tax', 'employer_tax', 'net_pay', 'accrual',
                             'reimbursement')),
    CONSTRAINT gl_account_map_side_known CHECK (side IN ('debit', 'credit')),
    CONSTRAINT gl_account_map_cost_center_source_known
        CHECK (cost_center_source IN ('department', 'location', 'project', 'fixed')),
    CONSTRAINT gl_account_map_one_code_at_most
        CHECK (num_nonnulls(earning_code_id, deduction_code_id, tax_code_id) <= 1),
    CONSTRAINT gl_account_map_code_fits_item
        CHECK ((earning_code_id IS NULL
                OR item_kind IN ('earning', 'reimbursement', 'accrual'))
               AND (deduction_code_id IS NULL OR item_kind = 'deduction')
               AND (tax_code_id IS NULL OR item_kind IN ('tax', 'employer_tax'))),
    CONSTRAINT gl_account_map_ends_after_start CHECK (effective_until > effective_from),
    CONSTRAINT gl_account_map_account_is_named
        CHECK (account_number ~ '\S' AND account_name ~ '\S')
);

COMMENT ON TABLE payroll.gl_account_map IS
    'Which ledger account a code, side and segment posts to.';
COMMENT ON COLUMN payroll.gl_account_map.side IS
    'A deduction is credited to who is owed it; its debit is what the employer contributes.';
COMMENT ON COLUMN payroll.gl_account_map.priority IS
    'Between maps that are equally close, the lowest goes first.';

-- FK: where a kind of pay posts to.
CREATE INDEX gl_account_map_earning_code_idx
    ON payroll.gl_account_map (business_id, earning_code_id)
    WHERE earning_code_id IS NOT NULL;

-- FK: where a deduction posts to.
CREATE INDEX gl_account_map_deduction_code_idx
    ON payroll.gl_account_map (business_id, deduction_code_id)
    WHERE deduction_code_id IS NOT NULL;

-- FK: where a tax posts to.
CREATE INDEX gl_account_map_tax_code_idx
    ON payroll.gl_account_map (business_id, tax_code_id)
    WHERE tax_code_id IS NOT NULL;

-- FK: the accounts of a department.
CREATE INDEX gl_account_map_department_idx
    ON payroll.gl_account_map (business_id, department_id)
    WHERE department_id IS NOT NULL;

ALTER TABLE payroll.gl_account_map ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.gl_account_map
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.gl_account_map TO app_user;
GRANT SELECT ON payroll.gl_account_map TO app_readonly;

CREATE TRIGGER gl_account_map_touch
    BEFORE UPDATE ON payroll.gl_account_map
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.mapped_account(
    item       text,
    of_side    text,
    code       uuid,
    department uuid,
    day        date
) RETURNS uuid
    LANGUAGE sql STABLE
    RETURN (
        SELECT m.gl_account_map_id
        FROM payroll.gl_account_map AS m
        CROSS JOIN LATERAL (
            SELECT coalesce(m.earning_code_id, m.deduction_code_id, m.tax_code_id) AS code
        ) AS c
        WHERE m.business_id = tenant_mgmt.current_business_id() AND m.item_kind = item
          AND m.side = of_side AND daterange(m.effective_from, m.effective_until) @> day
          AND (c.code IS NULL OR c.code = mapped_account.code)
          AND (m.department_id IS NULL OR m.department_id = department)
        ORDER BY c.code IS NULL, m.department_id IS NULL, m.priority, m.effective_from DESC,
                 m.gl_account_map_id
        LIMIT 1);
COMMENT ON FUNCTION payroll.mapped_account(text, text, uuid, uuid, date) IS
    'The closest map of the calling tenant for an item and side on a day: of the code before that
     of all codes, then of the department before that of all.';


CREATE TABLE payroll.journal_entry (
    business_id               uuid              NOT NULL,
    journal_entry_id          uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    pay_run_id                uuid              NOT NULL,
    paycheck_id               uuid,
    integration_connection_id uuid,
    journal_number            text              NOT NULL,
    journal_kind              text              NOT NULL DEFAULT 'payroll',
    accounting_date           date              NOT NULL,
    debit_amount              system_core.money NOT NULL DEFAULT 0,
    credit_amount             system_core.money NOT NULL DEFAULT 0,
    status                    text              NOT NULL DEFAULT 'draft',
    exported_at               timestamptz,
    external_reference        text,
    period_code               system_core.code  NOT NULL,
    created_at                timestamptz       NOT NULL DEFAULT now(),
    updated_at                timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, journal_entry_id),
    UNIQUE (business_id, journal_number),
    FOREIGN KEY (business_id, pay_run_id) REFERENCES payroll.pay_run (business_id, pay_run_id),
    FOREIGN KEY (business_id, paycheck_id) REFERENCES payroll.paycheck (business_id, paycheck_id),
    FOREIGN KEY (business_id, integration_connection_id)
        REFERENCES system_core.integration_connection (business_id, integration_connection_id),
    CONSTRAINT journal_entry_kind_known
        CHECK (journal_kind IN ('payroll', 'accrual', 'reversal', 'tax_payment',
                                'benefit_payment')),
    CONSTRAINT journal_entry_status_known
        CHECK (status IN ('draft', 'posted', 'exported', 'rejected', 'reversed')),
    CONSTRAINT journal_entry_balances CHECK (debit_amount = credit_amount),
    CONSTRAINT journal_entry_amounts_not_negative CHECK (debit_amount >= 0),
    CONSTRAINT journal_entry_paycheck_is_reversed
        CHECK (paycheck_id IS NULL OR journal_kind = 'reversal'),
    CONSTRAINT journal_entry_exported_has_time
        CHECK (status <> 'exported' OR exported_at IS NOT NULL),
    CONSTRAINT journal_entry_period_is_a_month CHECK (period_code ~ '^\d{4}-(0[1-9]|1[0-2])$'),
    CONSTRAINT journal_entry_period_of_its_date
        CHECK (period_code = lpad(extract(year FROM accounting_date)::text, 4, '0') || '-'
                             || lpad(extract(month FROM accounting_date)::text, 2, '0'))
);

COMMENT ON TABLE payroll.journal_entry IS 'Journal entry of a run, balanced.';
COMMENT ON COLUMN payroll.journal_entry.paycheck_id IS
    'Of a reversal: the one paycheck that it takes back; NULL: the whole run.';
COMMENT ON COLUMN payroll.journal_entry.period_code IS 'Accounting period, the month: 2026-05.';
COMMENT ON COLUMN payroll.journal_entry.external_reference IS 'Number in the ledger it went to.';

-- A run is in the books once.
CREATE UNIQUE INDEX journal_entry_run_once_idx
    ON payroll.journal_entry (business_id, pay_run_id)
    WHERE journal_kind = 'payroll' AND status <> 'reversed';

-- FK: a paycheck is taken back once.
CREATE UNIQUE INDEX journal_entry_paycheck_once_idx
    ON payroll.journal_entry (business_id, paycheck_id)
    WHERE paycheck_id IS NOT NULL;

-- FK: all entries of a run.
CREATE INDEX journal_entry_pay_run_idx
    ON payroll.journal_entry (business_id, pay_run_id);

-- FK: what was exported through a connection.
CREATE INDEX journal_entry_integration_connection_idx
    ON payroll.journal_entry (business_id, integration_connection_id)
    WHERE integration_connection_id IS NOT NULL;

ALTER TABLE payroll.journal_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.journal_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.journal_entry TO app_user;
GRANT SELECT ON payroll.journal_entry TO app_readonly;

CREATE TRIGGER journal_entry_touch
    BEFORE UPDATE ON payroll.journal_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER journal_entry_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.journal_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":    ["posted"],
            "posted":   ["exported", "reversed"],
            "exported": ["rejected", "reversed"],
            "rejected": ["exported", "reversed"],
            "reversed": []
        }}');


CREATE TABLE payroll.journal_line (
    business_id       uuid              NOT NULL,
    journal_line_id   uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    journal_entry_id  uuid              NOT NULL,
    gl_account_map_id uuid,
    department_id     uuid,
    work_location_id  uuid,
    line_no           integer           NOT NULL,
    account_number    text              NOT NULL,
    debit_amount      system_core.money NOT NULL DEFAULT 0,
    credit_amount     system_core.money NOT NULL DEFAULT 0,
    cost_center       text,
    project_code      system_core.code,
    memo              text,
    employee_count    integer           NOT NULL DEFAULT 0,
    source_item       text              NOT NULL,
    created_at        timestamptz       NOT NULL DEFAULT now(),
    updated_at        timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, journal_line_id),
    UNIQUE (business_id, journal_entry_id, line_no),
    FOREIGN KEY (business_id, journal_entry_id)
        REFERENCES payroll.journal_entry (business_id, journal_entry_id)
        ON DELETE CASCADE,
    FOREIGN KEY (business_id, gl_account_map_id)
        REFERENCES payroll.gl_account_map (business_id, gl_account_map_id),
    FOREIGN KEY (business_id, department_id)
        REFERENCES payroll.department (business_id, department_id),
    FOREIGN KEY (business_id, work_location_id)
        REFERENCES payroll.work_location (business_id, work_location_id),
    CONSTRAINT journal_line_numbered_from_one CHECK (line_no >= 1),
    CONSTRAINT journal_line_one_side
        CHECK ((debit_amount > 0 AND credit_amount = 0)
               OR (credit_amount > 0 AND debit_amount = 0)),
    CONSTRAINT journal_line_people_countable CHECK (employee_count >= 0),
    CONSTRAINT journal_line_item_known
        CHECK (split_part(source_item, ':', 1)
               IN ('earning', 'reimbursement', 'deduction', 'benefit', 'tax', 'employer_tax',
                   'net_pay', 'accrual', 'tax_payment', 'benefit_payment'))
);

COMMENT ON TABLE payroll.journal_line IS 'Debit or credit of a payroll journal.';
COMMENT ON COLUMN payroll.journal_line.source_item IS
    'What it is the sum of, with its code: earning:REG, tax:FIT; benefit: the employer''s share of
     a deduction, on both sides.';
COMMENT ON COLUMN payroll.journal_line.employee_count IS 'Paychecks that are in it.';

-- FK: what was posted by a map.
CREATE INDEX journal_line_gl_account_map_idx
    ON payroll.journal_line (business_id, gl_account_map_id)
    WHERE gl_account_map_id IS NOT NULL;

-- FK: the labor cost of a department in the books.
CREATE INDEX journal_line_department_idx
    ON payroll.journal_line (business_id, department_id)
    WHERE department_id IS NOT NULL;

-- FK: the labor cost of a place in the books.
CREATE INDEX journal_line_work_location_idx
    ON payroll.journal_line (business_id, work_location_id)
    WHERE work_location_id IS NOT NULL;

ALTER TABLE payroll.journal_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.journal_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.journal_line TO app_user;
GRANT SELECT ON payroll.journal_line TO app_readonly;

CREATE TRIGGER journal_line_touch
    BEFORE UPDATE ON payroll.journal_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.require_draft_journal() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    line   CONSTANT jsonb := to_jsonb(CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END);
    target payroll.journal_entry;
BEGIN
    IF row_security_active(TG_RELID) THEN
        SELECT j.* INTO target
        FROM payroll.journal_entry AS j
        WHERE j.business_id = (line ->> 'business_id')::uuid
          AND j.journal_entry_id = (line ->> 'journal_entry_id')::uuid
        FOR SHARE;
        IF target.status <> 'draft'
           OR (TG_OP = 'UPDATE' AND OLD.journal_entry_id <> NEW.journal_entry_id) THEN
            RAISE EXCEPTION 'journal % is % and its lines do not change', target.journal_number,
                            target.status
                USING ERRCODE = 'restrict_violation', HINT = 'Reverse it.';
        END IF;
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION payroll.require_draft_journal() IS
    'Lines are written while their entry is a draft. Imported history brings its lines.';

CREATE TRIGGER journal_line_of_draft
    BEFORE INSERT OR UPDATE OR DELETE ON payroll.journal_line
    FOR EACH ROW EXECUTE FUNCTION payroll.require_draft_journal();

CREATE FUNCTION payroll.refuse_unbalanced_journal() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    found record;
BEGIN
    SELECT count(*) AS lines, coalesce(sum(l.debit_amount), 0) AS debit,
           coalesce(sum(l.credit_amount), 0) AS credit INTO found
    FROM payroll.journal_line AS l
    WHERE l.business_id = NEW.business_id AND l.journal_entry_id = NEW.journal_entry_id;
    IF found.lines < 2 OR found.debit <> found.credit OR found.debit <> NEW.debit_amount THEN
        RAISE EXCEPTION 'journal % says % and has lines of % debit and % credit',
                        NEW.journal_number, NEW.debit_amount, found.debit, found.credit
            USING ERRCODE = 'check_violation', HINT = 'Write it anew with write_journal().';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.refuse_unbalanced_journal() IS
    'Nothing is posted but an entry whose lines balance and add up to what it says.';

CREATE TRIGGER journal_entry_posted_balanced
    BEFORE UPDATE OF status ON payroll.journal_entry
    FOR EACH ROW WHEN (OLD.status = 'draft' AND NEW.status = 'posted')
    EXECUTE FUNCTION payroll.refuse_unbalanced_journal();

CREATE FUNCTION payroll.refuse_change_of_posted() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'journal % is % and does not change', OLD.journal_number, OLD.status
        USING ERRCODE = 'restrict_violation', HINT = 'Reverse it.';
END
$$;
COMMENT ON FUNCTION payroll.refuse_change_of_posted() IS
    'What is in the books stays; only its way to the ledger goes on.';

CREATE TRIGGER journal_entry_posted_stays
    BEFORE UPDATE ON payroll.journal_entry
    FOR EACH ROW WHEN (OLD.status <> 'draft'
                       AND (OLD.pay_run_id, OLD.paycheck_id, OLD.journal_number, OLD.journal_kind,
                            OLD.accounting_date, OLD.debit_amount, OLD.credit_amount,
                            OLD.period_code)
                           IS DISTINCT FROM
                           (NEW.pay_run_id, NEW.paycheck_id, NEW.journal_number, NEW.journal_kind,
                            NEW.accounting_date, NEW.debit_amount, NEW.credit_amount,
                            NEW.period_code))
    EXECUTE FUNCTION payroll.refuse_change_of_posted();

CREATE TRIGGER journal_entry_posted_not_deleted
    BEFORE DELETE ON payroll.journal_entry
    FOR EACH ROW WHEN (OLD.status <> 'draft')
    EXECUTE FUNCTION payroll.refuse_change_of_posted();


CREATE FUNCTION payroll.run_items(run uuid, only_paycheck uuid DEFAULT NULL)
    RETURNS TABLE (paycheck_id uuid, item_kind text, side text, source text, code_id uuid,
                   code text, department_id uuid, work_location_id uuid, project_code text,
                   amount numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH pay AS MATERIALIZED (
        SELECT p.paycheck_id, p.net_amount, h.department_id, h.work_location_id
        FROM payroll.paycheck AS p
        -- What is the employer's on top stands with the pay that most of it is for.
        LEFT JOIN LATERAL (
            SELECT e.department_id, e.work_location_id
            FROM payroll.paycheck_earning AS e
            WHERE e.business_id = p.business_id AND e.paycheck_id = p.paycheck_id
              AND e.department_id IS NOT NULL
            ORDER BY e.amount DESC, e.line_no
            LIMIT 1
        ) AS h ON true
        WHERE p.business_id = tenant_mgmt.current_business_id() AND p.pay_run_id = run
          AND p.paycheck_id = coalesce(only_paycheck, p.paycheck_id)
    )
    SELECT p.paycheck_id,
           CASE c.earning_kind WHEN 'reimbursement' THEN 'reimbursement' ELSE 'earning' END,
           'debit', CASE c.earning_kind WHEN 'reimbursement' THEN 'reimbursement'
                                        ELSE 'earning' END || ':' || c.code,
           c.earning_code_id, c.code::text, coalesce(e.department_id, p.department_id),
           coalesce(e.work_location_id, p.work_location_id), e.project_code::text,
           e.amount::numeric
    FROM pay AS p
    JOIN payroll.paycheck_earning AS e
        ON e.business_id = tenant_mgmt.current_business_id() AND e.paycheck_id = p.paycheck_id
       AND NOT e.is_imputed
    JOIN payroll.earning_code AS c
        ON c.business_id = e.business_id AND c.earning_code_id = e.earning_code_id
    UNION ALL
    SELECT p.paycheck_id, 'deduction', x.side, x.source || ':' || c.code, c.deduction_code_id,
           c.code, CASE x.side WHEN 'debit' THEN p.department_id END,
           CASE x.side WHEN 'debit' THEN p.work_location_id END, NULL, x.amount
    FROM pay AS p
    JOIN payroll.paycheck_deduction AS d
        ON d.business_id = tenant_mgmt.current_business_id() AND d.paycheck_id = p.paycheck_id
    JOIN payroll.deduction_code AS c
        ON c.business_id = d.business_id AND c.deduction_code_id = d.deduction_code_id
    CROSS JOIN LATERAL (VALUES
        ('credit', 'deduction', d.employee_amount), ('debit', 'benefit', d.employer_amount),
        ('credit', 'benefit', d.employer_amount)) AS x (side, source, amount)
    UNION ALL
    SELECT p.paycheck_id, x.kind, x.side, x.kind || ':' || c.code, c.tax_code_id, c.code,
           CASE x.side WHEN 'debit' THEN p.department_id END,
           CASE x.side WHEN 'debit' THEN p.work_location_id END, NULL, t.tax_amount
    FROM pay AS p
    JOIN payroll.paycheck_tax AS t
        ON t.business_id = tenant_mgmt.current_business_id() AND t.paycheck_id = p.paycheck_id
    JOIN payroll.tax_code AS c
        ON c.business_id = t.business_id AND c.tax_code_id = t.tax_code_id
    JOIN (VALUES ('employee', 'tax', 'credit'), ('employer', 'employer_tax', 'credit'),
                 ('employer', 'employer_tax', 'debit')) AS x (payer, kind, side)
        ON x.payer = t.payer
    UNION ALL
    SELECT p.paycheck_id, 'net_pay', 'credit', 'net_pay', NULL, NULL, NULL, NULL, NULL,
           p.net_amount
    FROM pay AS p;
END;
COMMENT ON FUNCTION payroll.run_items(uuid, uuid) IS
    'All that a run of the calling tenant, or one of its paychecks, debits and credits: imputed
     income is taxed but not paid and not in the books.';

CREATE FUNCTION payroll.unmapped_items(run uuid)
    RETURNS TABLE (item_kind text, side text, code text, amount numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    -- One question per kind of item, not one per line.
    WITH item AS MATERIALIZED (
        SELECT i.item_kind, i.side, i.code, i.code_id, i.department_id, r.check_date,
               sum(i.amount) AS amount
        FROM payroll.pay_run AS r
        CROSS JOIN LATERAL payroll.run_items(r.pay_run_id) AS i
        WHERE r.business_id = tenant_mgmt.current_business_id() AND r.pay_run_id = run
          AND i.amount <> 0
        GROUP BY i.item_kind, i.side, i.code, i.code_id, i.department_id, r.check_date
    )
    SELECT i.item_kind, i.side, i.code, sum(i.amount)
    FROM item AS i
    WHERE payroll.mapped_account(i.item_kind, i.side, i.code_id, i.department_id, i.check_date)
          IS NULL
    GROUP BY i.item_kind, i.side, i.code
    ORDER BY i.item_kind, i.side, i.code;
END;
COMMENT ON FUNCTION payroll.unmapped_items(uuid) IS
    'The items of a run of the calling tenant that no account is mapped for on their side; none,
     where every item that is used has its debit and its credit.';

CREATE FUNCTION payroll.fill_journal(entry uuid) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    target  payroll.journal_entry;
    of_run  payroll.pay_run;
    lacking text;
    written record;
BEGIN
    SELECT j.* INTO target
    FROM payroll.journal_entry AS j
    WHERE j.business_id = tenant AND j.journal_entry_id = entry
    FOR NO KEY UPDATE;
    SELECT r.* INTO of_run
    FROM payroll.pay_run AS r
    WHERE r.business_id = tenant AND r.pay_run_id = target.pay_run_id;
    SELECT string_agg(concat_ws(' ', u.item_kind, u.code, u.side), ', ') INTO lacking
    FROM payroll.unmapped_items(of_run.pay_run_id) AS u;
    IF lacking IS NOT NULL THEN
        RAISE EXCEPTION 'run % has items that no account is mapped for: %', of_run.run_number,
                        lacking
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Add them to gl_account_map.';
    END IF;
    DELETE FROM payroll.journal_line AS l
    WHERE l.business_id = tenant AND l.journal_entry_id = entry;
    WITH item AS MATERIALIZED (
        SELECT i.*
        FROM payroll.run_items(of_run.pay_run_id, target.paycheck_id) AS i
        WHERE i.amount <> 0
    ), mapped AS MATERIALIZED (
        SELECT k.*, payroll.mapped_account(k.item_kind, k.side, k.code_id, k.department_id,
                                           of_run.check_date) AS gl_account_map_id
        FROM (SELECT DISTINCT i.item_kind, i.side, i.code_id, i.department_id FROM item AS i) AS k
    )
    INSERT INTO payroll.journal_line
        (business_id, journal_entry_id, gl_account_map_id, department_id, work_location_id,
         line_no, account_number, debit_amount, credit_amount, cost_center, project_code, memo,
         employee_count, source_item)
    SELECT tenant, entry, s.gl_account_map_id, s.department_id, s.work_location_id,
           row_number() OVER (ORDER BY s.debit < 0, s.account_number, s.source, s.department_id,
                                       s.work_location_id, s.project_code, s.gl_account_map_id),
           s.account_number, greatest(s.debit, 0), greatest(-s.debit, 0), s.cost_center,
           s.project_code, s.account_name, s.people, s.source
    FROM (
        SELECT m.gl_account_map_id, m.account_number, m.account_name, i.source, d.department_id,
               d.work_location_id, d.project_code, d.cost_center,
               count(DISTINCT i.paycheck_id) AS people,
               -- A reversal is the same on the other side.
               sum(CASE WHEN (i.side = 'debit') = (target.journal_kind <> 'reversal')
                        THEN i.amount ELSE -i.amount END) AS debit
        FROM item AS i
        JOIN mapped AS k
            ON k.item_kind = i.item_kind AND k.side = i.side
           AND k.code_id IS NOT DISTINCT FROM i.code_id
           AND k.department_id IS NOT DISTINCT FROM i.department_id
        JOIN payroll.gl_account_map AS m
            ON m.business_id = tenant AND m.gl_account_map_id = k.gl_account_map_id
        LEFT JOIN payroll.department AS x
            ON x.business_id = tenant AND x.department_id = i.department_id
        LEFT JOIN payroll.work_location AS l
            ON l.business_id = tenant AND l.work_location_id = i.work_location_id
        CROSS JOIN LATERAL (
            SELECT CASE m.cost_center_source WHEN 'department' THEN i.department_id
                   END AS department_id,
                   CASE m.cost_center_source WHEN 'location' THEN i.work_location_id
                   END AS work_location_id,
                   CASE m.cost_center_source WHEN 'project' THEN i.project_code
                   END AS project_code,
                   CASE m.cost_center_source WHEN 'department' THEN coalesce(x.cost_center, x.code)
                                             WHEN 'location' THEN l.code
                                             WHEN 'project' THEN i.project_code
                   END AS cost_center
        ) AS d
        GROUP BY m.gl_account_map_id, m.account_number, m.account_name, i.source, d.department_id,
                 d.work_location_id, d.project_code, d.cost_center
    ) AS s
    WHERE s.debit <> 0;
    SELECT coalesce(sum(l.debit_amount), 0) AS debit, coalesce(sum(l.credit_amount), 0) AS credit
    INTO written
    FROM payroll.journal_line AS l
    WHERE l.business_id = tenant AND l.journal_entry_id = entry;
    UPDATE payroll.journal_entry AS j
    SET debit_amount = written.debit, credit_amount = written.credit
    WHERE j.business_id = tenant AND j.journal_entry_id = entry;
END
$$;
COMMENT ON FUNCTION payroll.fill_journal(uuid) IS
    'Writes the lines of a draft of the calling tenant by its account maps; refuses a run with an
     item that has no account.';

CREATE FUNCTION payroll.write_journal(
    run           uuid,
    only_paycheck uuid DEFAULT NULL,
    day           date DEFAULT NULL
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    of_run payroll.pay_run;
    entry  uuid;
BEGIN
    SELECT r.* INTO of_run
    FROM payroll.pay_run AS r
    WHERE r.business_id = tenant AND r.pay_run_id = run
    FOR NO KEY UPDATE;
    IF coalesce(of_run.status, '') NOT IN ('approved', 'funded', 'paid', 'partially_returned',
                                           'reversed') THEN
        RAISE EXCEPTION 'a run is in the books once it is approved, not %',
                        coalesce(of_run.status, 'missing')
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Approve it first.';
    END IF;
    day := coalesce(day, of_run.check_date);
    -- What nobody has posted is written anew.
    DELETE FROM payroll.journal_entry AS j
    WHERE j.business_id = tenant AND j.pay_run_id = run AND j.status = 'draft'
      AND j.paycheck_id IS NOT DISTINCT FROM only_paycheck;
    INSERT INTO payroll.journal_entry
        (business_id, pay_run_id, paycheck_id, journal_number, journal_kind, accounting_date,
         period_code)
    SELECT tenant, run, only_paycheck,
           CASE WHEN only_paycheck IS NULL THEN 'JE-' || of_run.run_number
                ELSE 'JR-' || (SELECT p.check_number
                               FROM payroll.paycheck AS p
                               WHERE p.business_id = tenant AND p.paycheck_id = only_paycheck)
           END,
           CASE WHEN only_paycheck IS NULL THEN 'payroll' ELSE 'reversal' END, day,
           to_char(day, 'YYYY-MM')
    RETURNING journal_entry_id INTO entry;
    PERFORM payroll.fill_journal(entry);
    RETURN entry;
END
$$;
COMMENT ON FUNCTION payroll.write_journal(uuid, uuid, date) IS
    'Drafts the journal entry of a run of the calling tenant, or the reversal of one of its
     paychecks. A draft is written anew.';

CREATE FUNCTION payroll.post_journal(entry uuid) RETURNS void
    LANGUAGE sql
BEGIN ATOMIC
    UPDATE payroll.journal_entry AS j
    SET status = 'posted'
    WHERE j.business_id = tenant_mgmt.current_business_id() AND j.journal_entry_id = entry;
END;
COMMENT ON FUNCTION payroll.post_journal(uuid) IS
    'Brings a drafted entry of the calling tenant into the books.';

CREATE FUNCTION payroll.reverse_voided_paycheck() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT
        FROM payroll.journal_entry AS j
        WHERE j.business_id = NEW.business_id AND j.pay_run_id = NEW.pay_run_id
          AND j.journal_kind = 'payroll' AND j.status IN ('posted', 'exported', 'rejected')
    ) AND greatest(NEW.gross_amount, NEW.employer_tax_amount, NEW.employer_benefit_amount) > 0 THEN
        PERFORM payroll.post_journal(payroll.write_journal(
            NEW.pay_run_id, NEW.paycheck_id,
            greatest(NEW.check_date, (now() AT TIME ZONE 'UTC')::date)));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.reverse_voided_paycheck() IS
    'A paycheck that is voided after its run was posted is taken back in the books, today.';

CREATE TRIGGER paycheck_voided_in_books
    AFTER UPDATE OF status ON payroll.paycheck
    FOR EACH ROW WHEN (NEW.status = 'voided' AND OLD.status <> 'voided')
    EXECUTE FUNCTION payroll.reverse_voided_paycheck();

CREATE FUNCTION payroll.journal_differences()
    RETURNS TABLE (journal_number text, item text, said numeric, found numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH sums AS MATERIALIZED (
        SELECT l.journal_entry_id, split_part(l.source_item, ':', 1) AS item,
               sum(l.debit_amount) AS debit, sum(l.credit_amount) AS credit
        FROM payroll.journal_line AS l
        WHERE l.business_id = tenant_mgmt.current_business_id()
        GROUP BY l.journal_entry_id, split_part(l.source_item, ':', 1)
    )
    SELECT j.journal_number, x.item, x.said, coalesce(x.found, 0)
    FROM payroll.journal_entry AS j
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(s.debit), 0) AS debit, coalesce(sum(s.credit), 0) AS credit
        FROM sums AS s
        WHERE s.journal_entry_id = j.journal_entry_id
    ) AS t
    CROSS JOIN LATERAL (VALUES ('debit', j.debit_amount::numeric, t.debit),
                               ('credit', j.credit_amount::numeric, t.credit))
        AS x (item, said, found)
    WHERE j.business_id = tenant_mgmt.current_business_id() AND x.said <> x.found
    UNION ALL
    -- What a run says and what its entry says, item by item.
    SELECT j.journal_number, x.item, x.said, coalesce(x.found, 0)
    FROM payroll.journal_entry AS j
    JOIN payroll.pay_run AS r ON r.business_id = j.business_id AND r.pay_run_id = j.pay_run_id
    CROSS JOIN LATERAL (
        SELECT sum(s.debit - s.credit) FILTER (WHERE s.item IN ('earning', 'reimbursement'))
                   AS gross,
               sum(s.credit - s.debit) FILTER (WHERE s.item = 'net_pay') AS net,
               sum(s.credit - s.debit) FILTER (WHERE s.item = 'tax') AS employee_tax,
               sum(s.credit) FILTER (WHERE s.item = 'employer_tax') AS employer_tax,
               sum(s.credit - s.debit) FILTER (WHERE s.item = 'deduction') AS deduction,
               sum(s.credit) FILTER (WHERE s.item = 'benefit') AS benefit
        FROM sums AS s
        WHERE s.journal_entry_id = j.journal_entry_id
    ) AS t
    CROSS JOIN LATERAL (VALUES
        ('gross', r.gross_amount::numeric, t.gross), ('net', r.net_amount, t.net),
        ('employee taxes', r.employee_tax_amount, t.employee_tax),
        ('employer taxes', r.employer_tax_amount, t.employer_tax),
        ('deductions', r.deduction_amount, t.deduction),
        ('employer benefits',
         r.employer_cost_amount - r.gross_amount - r.employer_tax_amount, t.benefit))
        AS x (item, said, found)
    WHERE j.business_id = tenant_mgmt.current_business_id() AND j.journal_kind = 'payroll'
      AND j.status <> 'draft' AND x.said <> coalesce(x.found, 0);
END;
COMMENT ON FUNCTION payroll.journal_differences() IS
    'Proves the books of the calling tenant: entries that are not the sum of their lines, and
     posted entries of a run that are not its register.';
