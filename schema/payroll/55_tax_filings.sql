/*
 * Returns and year-end forms: what agencies and people are told of the taxes.
 *
 * A tax_filing is the return of a period with an account; its tax_filing_lines are computed from the
 * year-to-date totals and the deposits (prepare_form_941(), prepare_return()) and may be overridden
 * with a reason until it is ready. A form 941 is ready only when Schedule B, the liability of each
 * day, adds up to the tax of the return. What an agency writes back is a tax_notice.
 *
 * A wage_statement is what a person gets for the year: a W-2 of an employee, a 1099 of a contractor,
 * with a wage_statement_box for each amount (build_wage_statements()).
 */

CREATE TABLE payroll.tax_filing (
    business_id             uuid              NOT NULL,
    tax_filing_id           uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    signed_by               uuid,
    amends_tax_filing_id    uuid,
    employer_tax_account_id uuid              NOT NULL,
    file_object_id          uuid,
    form_code               text              NOT NULL,
    tax_year                integer           NOT NULL,
    quarter_no              integer,
    period_start            date              NOT NULL,
    period_end              date              NOT NULL,
    due_on                  date              NOT NULL,
    filed_at                timestamptz,
    method                  text              NOT NULL DEFAULT 'efile',
    status                  text              NOT NULL DEFAULT 'not_due',
    total_tax_amount        system_core.money NOT NULL DEFAULT 0,
    total_deposits_amount   system_core.money NOT NULL DEFAULT 0,
    balance_due_amount      system_core.money NOT NULL
                                              GENERATED ALWAYS AS
                                                  (total_tax_amount - total_deposits_amount)
                                              STORED,
    submission_id           text,
    rejection_codes         text[]            NOT NULL DEFAULT '{}',
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_filing_id),
    UNIQUE NULLS NOT DISTINCT (business_id, employer_tax_account_id, form_code, period_start,
                               submission_id),
    FOREIGN KEY (business_id, signed_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, amends_tax_filing_id)
        REFERENCES payroll.tax_filing (business_id, tax_filing_id),
    FOREIGN KEY (business_id, employer_tax_account_id)
        REFERENCES payroll.employer_tax_account (business_id, employer_tax_account_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT tax_filing_method_known CHECK (method IN ('efile', 'paper', 'portal')),
    CONSTRAINT tax_filing_status_known
        CHECK (status IN ('not_due', 'preparing', 'ready', 'filed', 'accepted', 'rejected',
                          'amended')),
    CONSTRAINT tax_filing_form_is_named CHECK (form_code ~ '\S'),
    CONSTRAINT tax_filing_quarter_bounded CHECK (quarter_no BETWEEN 1 AND 4),
    CONSTRAINT tax_filing_period_is_its_year_and_quarter
        CHECK (period_end > period_start AND extract(year FROM period_start) = tax_year
               AND (quarter_no IS NULL OR extract(quarter FROM period_end) = quarter_no)),
    CONSTRAINT tax_filing_due_after_period CHECK (due_on > period_end),
    CONSTRAINT tax_filing_filed_has_time
        CHECK (status NOT IN ('filed', 'accepted', 'amended') OR filed_at IS NOT NULL),
    CONSTRAINT tax_filing_filed_after_period CHECK ((filed_at AT TIME ZONE 'UTC')::date > period_end),
    CONSTRAINT tax_filing_accepted_has_submission
        CHECK (status NOT IN ('accepted', 'amended') OR coalesce(submission_id, '') ~ '\S'),
    CONSTRAINT tax_filing_rejected_says_why
        CHECK (status <> 'rejected' OR cardinality(rejection_codes) > 0),
    CONSTRAINT tax_filing_amends_another CHECK (amends_tax_filing_id <> tax_filing_id)
);

COMMENT ON TABLE payroll.tax_filing IS 'Return of a period: 941, 940, state wage report, local.';
COMMENT ON COLUMN payroll.tax_filing.balance_due_amount IS 'Negative: overpaid, to be credited.';
COMMENT ON COLUMN payroll.tax_filing.amends_tax_filing_id IS
    'The return that this one puts right (941-X).';

-- FK: what somebody signed.
CREATE INDEX tax_filing_signed_by_idx
    ON payroll.tax_filing (business_id, signed_by)
    WHERE signed_by IS NOT NULL;

-- FK: what amended a return.
CREATE INDEX tax_filing_amends_tax_filing_idx
    ON payroll.tax_filing (business_id, amends_tax_filing_id)
    WHERE amends_tax_filing_id IS NOT NULL;

-- FK: the document of a return.
CREATE INDEX tax_filing_file_object_idx
    ON payroll.tax_filing (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

ALTER TABLE payroll.tax_filing ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.tax_filing
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.tax_filing TO app_user;
GRANT SELECT ON payroll.tax_filing TO app_readonly;

CREATE TRIGGER tax_filing_touch
    BEFORE UPDATE ON payroll.tax_filing
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER tax_filing_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.tax_filing
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["not_due"],
        "transitions": {
            "not_due":   ["preparing"],
            "preparing": ["ready"],
            "ready":     ["filed", "preparing"],
            "filed":     ["accepted", "rejected"],
            "rejected":  ["preparing"],
            "accepted":  ["amended"],
            "amended":   []
        }}');


CREATE TABLE payroll.tax_filing_line (
    business_id        uuid              NOT NULL,
    tax_filing_line_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    tax_filing_id      uuid              NOT NULL,
    employee_id        uuid,
    line_code          system_core.code  NOT NULL,
    description        text              NOT NULL,
    amount             system_core.money,
    wage_amount        system_core.money,
    worker_count       integer,
    liability_date     date,
    sort_order         integer           NOT NULL DEFAULT 0,
    is_computed        boolean           NOT NULL DEFAULT true,
    override_reason    text,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_filing_line_id),
    UNIQUE NULLS NOT DISTINCT (business_id, tax_filing_id, line_code, employee_id,
                               liability_date),
    FOREIGN KEY (business_id, tax_filing_id)
        REFERENCES payroll.tax_filing (business_id, tax_filing_id)
        ON DELETE CASCADE,
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    CONSTRAINT tax_filing_line_overridden_for_a_reason
        CHECK (is_computed OR coalesce(override_reason, '') ~ '\S'),
    CONSTRAINT tax_filing_line_says_something
        CHECK (num_nonnulls(amount, wage_amount, worker_count) >= 1),
    CONSTRAINT tax_filing_line_people_countable CHECK (worker_count >= 0)
);

COMMENT ON TABLE payroll.tax_filing_line IS 'Line, box or worker row of a return.';
COMMENT ON COLUMN payroll.tax_filing_line.line_code IS
    'Of the form: 3, 5A; SCHB: the liability of a day; WORKER: a row of a wage report.';
COMMENT ON COLUMN payroll.tax_filing_line.wage_amount IS 'The first column, where there are two.';

-- FK: the wage reports that name somebody.
CREATE INDEX tax_filing_line_employee_idx
    ON payroll.tax_filing_line (business_id, employee_id)
    WHERE employee_id IS NOT NULL;

ALTER TABLE payroll.tax_filing_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.tax_filing_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.tax_filing_line TO app_user;
GRANT SELECT ON payroll.tax_filing_line TO app_readonly;

CREATE TRIGGER tax_filing_line_touch
    BEFORE UPDATE ON payroll.tax_filing_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.require_open_filing() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    line   CONSTANT jsonb := to_jsonb(CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END);
    target record;
BEGIN
    SELECT f.form_code, f.status, j.level INTO target
    FROM payroll.tax_filing AS f
    JOIN payroll.employer_tax_account AS a
        ON a.business_id = f.business_id
       AND a.employer_tax_account_id = f.employer_tax_account_id
    JOIN payroll.tax_jurisdiction AS j
        ON j.business_id = a.business_id AND j.tax_jurisdiction_id = a.tax_jurisdiction_id
    WHERE f.business_id = (line ->> 'business_id')::uuid
      AND f.tax_filing_id = (line ->> 'tax_filing_id')::uuid
    FOR SHARE OF f;
    IF row_security_active(TG_RELID) AND target.status NOT IN ('not_due', 'preparing', 'rejected')
    THEN
        RAISE EXCEPTION 'return % is % and its lines do not change', target.form_code,
                        target.status
            USING ERRCODE = 'restrict_violation',
                  HINT = CASE target.status WHEN 'ready' THEN 'Prepare it anew.'
                                            ELSE 'Amend it.' END;
    END IF;
    IF TG_OP <> 'DELETE' AND line ->> 'employee_id' IS NOT NULL AND target.level = 'federal' THEN
        RAISE EXCEPTION 'return % does not name workers', target.form_code
            USING ERRCODE = 'check_violation', HINT = 'Wage reports of states do.';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION payroll.require_open_filing() IS
    'Lines are written until a return is ready; only wage reports of states have rows of workers.';

CREATE TRIGGER tax_filing_line_of_open
    BEFORE INSERT OR UPDATE OR DELETE ON payroll.tax_filing_line
    FOR EACH ROW EXECUTE FUNCTION payroll.require_open_filing();

CREATE FUNCTION payroll.require_tied_filing() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    total    numeric;
    by_day   numeric;
    has_days boolean;
BEGIN
    SELECT max(l.amount) FILTER (WHERE l.line_code IN ('12', 'TAX')),
           coalesce(sum(l.amount) FILTER (WHERE l.line_code = 'SCHB'), 0),
           bool_or(l.line_code = '12')
    INTO total, by_day, has_days
    FROM payroll.tax_filing_line AS l
    WHERE l.business_id = NEW.business_id AND l.tax_filing_id = NEW.tax_filing_id;
    IF total IS NULL OR total <> NEW.total_tax_amount THEN
        RAISE EXCEPTION 'return % says a tax of % and has a line of %', NEW.form_code,
                        NEW.total_tax_amount, coalesce(total::text, 'none')
            USING ERRCODE = 'check_violation', HINT = 'Prepare it.';
    END IF;
    IF has_days AND by_day <> total THEN
        RAISE EXCEPTION 'Schedule B adds up to %, the return to %', by_day, total
            USING ERRCODE = 'check_violation',
                  HINT = 'Book the liabilities of all runs of the quarter, then prepare it anew.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.require_tied_filing() IS
    'A return is ready when its tax is the one of its lines and, day by day, of Schedule B.';

CREATE TRIGGER tax_filing_ready_tied
    BEFORE UPDATE OF status ON payroll.tax_filing
    FOR EACH ROW WHEN (NEW.status = 'ready' AND OLD.status = 'preparing')
    EXECUTE FUNCTION payroll.require_tied_filing();


CREATE TABLE payroll.tax_notice (
    business_id             uuid              NOT NULL,
    tax_notice_id           uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    assigned_to             uuid,
    employer_tax_account_id uuid,
    tax_filing_id           uuid,
    file_object_id          uuid,
    notice_code             system_core.code  NOT NULL,
    received_on             date              NOT NULL,
    notice_date             date              NOT NULL,
    notice_kind             text              NOT NULL,
    amount                  system_core.money,
    response_due_on         date,
    responded_on            date,
    status                  text              NOT NULL DEFAULT 'new',
    resolution              text,
    abated_amount           system_core.money NOT NULL DEFAULT 0,
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_notice_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, assigned_to)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, employer_tax_account_id)
        REFERENCES payroll.employer_tax_account (business_id, employer_tax_account_id),
    FOREIGN KEY (business_id, tax_filing_id)
        REFERENCES payroll.tax_filing (business_id, tax_filing_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT tax_notice_kind_known
        CHECK (notice_kind IN ('balance_due', 'rate_change', 'missing_return', 'penalty',
                               'lock_in_letter', 'name_ssn_mismatch', 'audit')),
    CONSTRAINT tax_notice_status_known
        CHECK (status IN ('new', 'researching', 'responded', 'abated', 'paid', 'closed')),
    CONSTRAINT tax_notice_received_after_written CHECK (received_on >= notice_date),
    CONSTRAINT tax_notice_answer_due_after_notice CHECK (response_due_on >= notice_date),
    CONSTRAINT tax_notice_abated_within_amount
        CHECK (abated_amount >= 0 AND abated_amount <= coalesce(amount, 0)),
    CONSTRAINT tax_notice_money_has_amount
        CHECK (notice_kind NOT IN ('balance_due', 'penalty') OR coalesce(amount, 0) > 0),
    CONSTRAINT tax_notice_rate_is_of_an_account
        CHECK (notice_kind <> 'rate_change' OR employer_tax_account_id IS NOT NULL),
    CONSTRAINT tax_notice_responded_has_date
        CHECK (status <> 'responded' OR responded_on IS NOT NULL),
    CONSTRAINT tax_notice_closed_says_how
        CHECK (status NOT IN ('abated', 'closed') OR coalesce(resolution, '') ~ '\S')
);

COMMENT ON TABLE payroll.tax_notice IS 'Letter from an agency with amount, deadline and answer.';

-- FK: the letters that somebody answers, the most urgent first.
CREATE INDEX tax_notice_assigned_to_idx
    ON payroll.tax_notice (business_id, assigned_to, response_due_on)
    WHERE assigned_to IS NOT NULL;

-- FK: what an agency wrote about an account.
CREATE INDEX tax_notice_employer_tax_account_idx
    ON payroll.tax_notice (business_id, employer_tax_account_id)
    WHERE employer_tax_account_id IS NOT NULL;

-- FK: what an agency wrote about a return.
CREATE INDEX tax_notice_tax_filing_idx
    ON payroll.tax_notice (business_id, tax_filing_id)
    WHERE tax_filing_id IS NOT NULL;

-- FK: the letter itself.
CREATE INDEX tax_notice_file_object_idx
    ON payroll.tax_notice (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

ALTER TABLE payroll.tax_notice ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.tax_notice
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.tax_notice TO app_user;
GRANT SELECT ON payroll.tax_notice TO app_readonly;

CREATE TRIGGER tax_notice_touch
    BEFORE UPDATE ON payroll.tax_notice
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER tax_notice_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.tax_notice
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["new"],
        "transitions": {
            "new":         ["researching", "responded", "paid", "closed"],
            "researching": ["responded", "paid", "closed"],
            "responded":   ["researching", "abated", "paid", "closed"],
            "abated":      ["closed"],
            "paid":        ["closed"],
            "closed":      []
        }}');

CREATE FUNCTION payroll.apply_rate_notice(notice uuid, new_rate numeric, from_day date)
    RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    letter payroll.tax_notice;
BEGIN
    SELECT n.* INTO letter
    FROM payroll.tax_notice AS n
    WHERE n.business_id = tenant AND n.tax_notice_id = notice
    FOR NO KEY UPDATE;
    IF letter.notice_kind IS DISTINCT FROM 'rate_change' OR letter.status = 'closed' THEN
        RAISE EXCEPTION 'a rate comes with an open letter about it, not %',
                        coalesce(concat_ws(' ', letter.status, letter.notice_kind), 'without one')
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    UPDATE payroll.employer_tax_account AS a
    SET experience_rate = new_rate, experience_rate_from = from_day
    WHERE a.business_id = tenant
      AND a.employer_tax_account_id = letter.employer_tax_account_id;
    UPDATE payroll.tax_notice AS n
    SET status = 'closed', resolution = format('Rate %s from %s', new_rate, from_day)
    WHERE n.business_id = tenant AND n.tax_notice_id = notice;
END
$$;
COMMENT ON FUNCTION payroll.apply_rate_notice(uuid, numeric, date) IS
    'Takes the rate of a letter over into the account of the calling tenant, and closes it.';


CREATE TABLE payroll.wage_statement (
    business_id                uuid        NOT NULL,
    wage_statement_id          uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    corrects_wage_statement_id uuid,
    employer_entity_id         uuid        NOT NULL,
    employee_id                uuid,
    contractor_id              uuid,
    file_object_id             uuid,
    tax_year                   integer     NOT NULL,
    form_kind                  text        NOT NULL,
    control_number             text        NOT NULL,
    status                     text        NOT NULL DEFAULT 'draft',
    due_on                     date        NOT NULL,
    furnished_on               date,
    is_late                    boolean     NOT NULL
                                           GENERATED ALWAYS AS
                                               (coalesce(furnished_on > due_on, false)) STORED,
    delivery                   text        NOT NULL DEFAULT 'mail',
    transmitted_at             timestamptz,
    state_copies               integer     NOT NULL DEFAULT 0,
    is_third_party_sick_pay    boolean     NOT NULL DEFAULT false,
    is_retirement_plan         boolean     NOT NULL DEFAULT false,
    created_at                 timestamptz NOT NULL DEFAULT now(),
    updated_at                 timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, wage_statement_id),
    UNIQUE (business_id, employer_entity_id, tax_year, control_number),
    FOREIGN KEY (business_id, corrects_wage_statement_id)
        REFERENCES payroll.wage_statement (business_id, wage_statement_id),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, contractor_id)
        REFERENCES payroll.contractor (business_id, contractor_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT wage_statement_form_kind_known
        CHECK (form_kind IN ('w2', 'w2c', '1099_nec', '1099_misc')),
    CONSTRAINT wage_statement_status_known
        CHECK (status IN ('draft', 'reviewed', 'furnished', 'transmitted', 'accepted',
                          'corrected', 'void')),
    CONSTRAINT wage_statement_delivery_known CHECK (delivery IN ('electronic', 'mail', 'both')),
    CONSTRAINT wage_statement_of_one_person
        CHECK (num_nonnulls(employee_id, contractor_id) = 1),
    CONSTRAINT wage_statement_form_fits_person
        CHECK ((employee_id IS NOT NULL) = (form_kind IN ('w2', 'w2c'))),
    CONSTRAINT wage_statement_w2c_corrects_one
        CHECK ((form_kind = 'w2c') <= (corrects_wage_statement_id IS NOT NULL)),
    CONSTRAINT wage_statement_corrects_another
        CHECK (corrects_wage_statement_id <> wage_statement_id),
    CONSTRAINT wage_statement_furnished_has_date
        CHECK (status NOT IN ('furnished', 'transmitted', 'accepted', 'corrected')
               OR furnished_on IS NOT NULL),
    CONSTRAINT wage_statement_furnished_after_year
        CHECK (extract(year FROM furnished_on) >= tax_year),
    CONSTRAINT wage_statement_transmitted_has_time
        CHECK (status NOT IN ('transmitted', 'accepted') OR transmitted_at IS NOT NULL),
    CONSTRAINT wage_statement_copies_countable CHECK (state_copies >= 0)
);

COMMENT ON TABLE payroll.wage_statement IS 'Year-end form of a person: W-2, W-2c, 1099-NEC.';
COMMENT ON COLUMN payroll.wage_statement.due_on IS 'The day by which the person is to have it.';

-- One original per person, employer and year.
CREATE UNIQUE INDEX wage_statement_original_idx
    ON payroll.wage_statement
       (business_id, employer_entity_id, tax_year, form_kind, employee_id, contractor_id)
       NULLS NOT DISTINCT
    WHERE corrects_wage_statement_id IS NULL AND status <> 'void';

-- FK: what corrected a statement.
CREATE INDEX wage_statement_corrects_wage_statement_idx
    ON payroll.wage_statement (business_id, corrects_wage_statement_id)
    WHERE corrects_wage_statement_id IS NOT NULL;

-- FK: the statements of an employee, the newest first.
CREATE INDEX wage_statement_employee_idx
    ON payroll.wage_statement (business_id, employee_id, tax_year DESC)
    WHERE employee_id IS NOT NULL;

-- FK: the statements of a contractor, the newest first.
CREATE INDEX wage_statement_contractor_idx
    ON payroll.wage_statement (business_id, contractor_id, tax_year DESC)
    WHERE contractor_id IS NOT NULL;

-- FK: the document of a statement.
CREATE INDEX wage_statement_file_object_idx
    ON payroll.wage_statement (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

ALTER TABLE payroll.wage_statement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.wage_statement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.wage_statement TO app_user;
GRANT SELECT ON payroll.wage_statement TO app_readonly;

CREATE TRIGGER wage_statement_touch
    BEFORE UPDATE ON payroll.wage_statement
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER wage_statement_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.wage_statement
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":       ["reviewed", "void"],
            "reviewed":    ["furnished", "draft", "void"],
            "furnished":   ["transmitted", "corrected", "void"],
            "transmitted": ["accepted", "corrected"],
            "accepted":    ["corrected"],
            "corrected":   [],
            "void":        []
        }}');

CREATE FUNCTION payroll.require_delivery_consent() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM payroll.delivery_consent AS c
        WHERE c.business_id = NEW.business_id AND c.employee_id = NEW.employee_id
          AND c.document_kind = 'w2' AND c.is_electronic AND c.demonstrated_access
          AND c.consented_at IS NOT NULL
          AND (c.withdrawn_at IS NULL OR (c.withdrawn_at AT TIME ZONE 'UTC')::date
                                         > NEW.furnished_on)
    ) THEN
        RAISE EXCEPTION 'statement % is delivered electronically without consent',
                        NEW.control_number
            USING ERRCODE = 'check_violation', HINT = 'Mail it.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.require_delivery_consent() IS
    'Who gets a statement electronically consented to that, and showed that it can be opened.';

CREATE TRIGGER wage_statement_by_consent
    BEFORE INSERT OR UPDATE OF delivery, employee_id, contractor_id ON payroll.wage_statement
    FOR EACH ROW WHEN (NEW.delivery <> 'mail')
    EXECUTE FUNCTION payroll.require_delivery_consent();


CREATE TABLE payroll.wage_statement_box (
    business_id           uuid              NOT NULL,
    wage_statement_box_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    wage_statement_id     uuid              NOT NULL,
    tax_jurisdiction_id   uuid,
    box_code              system_core.code  NOT NULL,
    sub_code              system_core.code,
    label                 text              NOT NULL,
    amount                system_core.money NOT NULL,
    state_id              text,
    locality_name         text,
    source                text              NOT NULL DEFAULT 'computed',
    sort_order            integer           NOT NULL DEFAULT 0,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, wage_statement_box_id),
    UNIQUE NULLS NOT DISTINCT (business_id, wage_statement_id, box_code, sub_code, state_id,
                               locality_name),
    FOREIGN KEY (business_id, wage_statement_id)
        REFERENCES payroll.wage_statement (business_id, wage_statement_id)
        ON DELETE CASCADE,
    FOREIGN KEY (business_id, tax_jurisdiction_id)
        REFERENCES payroll.tax_jurisdiction (business_id, tax_jurisdiction_id),
    CONSTRAINT wage_statement_box_source_known CHECK (source IN ('computed', 'manual')),
    CONSTRAINT wage_statement_box_amount_not_negative CHECK (amount >= 0),
    CONSTRAINT wage_statement_box_twelve_has_code
        CHECK ((box_code = '12') = (sub_code IS NOT NULL))
);

COMMENT ON TABLE payroll.wage_statement_box IS
    'Box amount of a year-end form, with code and jurisdiction.';
COMMENT ON COLUMN payroll.wage_statement_box.sub_code IS 'Of box 12: D for 401(k), W for HSA.';
COMMENT ON COLUMN payroll.wage_statement_box.state_id IS
    'State and the employer''s account there, of boxes 15 to 20.';

-- FK: what a jurisdiction was told.
CREATE INDEX wage_statement_box_tax_jurisdiction_idx
    ON payroll.wage_statement_box (business_id, tax_jurisdiction_id)
    WHERE tax_jurisdiction_id IS NOT NULL;

ALTER TABLE payroll.wage_statement_box ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.wage_statement_box
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.wage_statement_box TO app_user;
GRANT SELECT ON payroll.wage_statement_box TO app_readonly;

CREATE TRIGGER wage_statement_box_touch
    BEFORE UPDATE ON payroll.wage_statement_box
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.require_possible_boxes() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    statement payroll.wage_statement;
    base      numeric;
    found     record;
BEGIN
    SELECT w.* INTO statement
    FROM payroll.wage_statement AS w
    WHERE w.business_id = NEW.business_id AND w.wage_statement_id = NEW.wage_statement_id
    FOR NO KEY UPDATE;
    SELECT count(*) FILTER (WHERE b.box_code = '12') AS twelves,
           coalesce(sum(b.amount) FILTER (WHERE b.box_code IN ('3', '7')), 0) AS wages INTO found
    FROM payroll.wage_statement_box AS b
    WHERE b.business_id = NEW.business_id AND b.wage_statement_id = NEW.wage_statement_id;
    IF found.twelves > 4 THEN
        RAISE EXCEPTION 'statement % has % codes in box 12, and room for four',
                        statement.control_number, found.twelves
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT max(coalesce(v.wage_base_amount, c.wage_base_amount)) INTO base
    FROM payroll.tax_code AS c
    LEFT JOIN payroll.tax_rate_version AS v
        ON v.business_id = c.business_id AND v.tax_code_id = c.tax_code_id
       AND daterange(v.effective_from, v.effective_until)
           @> make_date(statement.tax_year, 12, 31)
    WHERE c.business_id = NEW.business_id AND c.tax_kind = 'social_security';
    IF found.wages > base THEN
        RAISE EXCEPTION 'statement % has % of social security wages and tips, above the base of %',
                        statement.control_number, found.wages, base
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.require_possible_boxes() IS
    'A form has four boxes 12; boxes 3 and 7 stay within the wage base of the year.';

CREATE CONSTRAINT TRIGGER wage_statement_box_possible
    AFTER INSERT OR UPDATE ON payroll.wage_statement_box
    DEFERRABLE INITIALLY IMMEDIATE
    FOR EACH ROW WHEN (NEW.box_code IN ('3', '7', '12'))
    EXECUTE FUNCTION payroll.require_possible_boxes();


CREATE FUNCTION payroll.open_filing(
    account uuid,
    form    text,
    starts  date,
    ends    date
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    target payroll.tax_filing;
    place  uuid;
BEGIN
    SELECT a.tax_jurisdiction_id INTO place
    FROM payroll.employer_tax_account AS a
    WHERE a.business_id = tenant AND a.employer_tax_account_id = account
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the employer has no account to file % with', form
            USING ERRCODE = 'no_data_found';
    END IF;
    SELECT f.* INTO target
    FROM payroll.tax_filing AS f
    WHERE f.business_id = tenant AND f.employer_tax_account_id = account AND f.form_code = form
      AND f.period_start = starts
    ORDER BY f.created_at DESC, f.tax_filing_id DESC
    LIMIT 1;
    IF NOT FOUND THEN
        INSERT INTO payroll.tax_filing
            (business_id, employer_tax_account_id, form_code, tax_year, quarter_no, period_start,
             period_end, due_on)
        VALUES (tenant, account, form, extract(year FROM starts),
                CASE WHEN ends - starts < 100 THEN extract(quarter FROM ends) END, starts, ends,
                payroll.banking_day(payroll.return_due_on(place, ends) - 1, 1))
        RETURNING * INTO target;
    END IF;
    IF target.status IN ('filed', 'accepted', 'amended') THEN
        RAISE EXCEPTION 'return % of % is %', form, starts, target.status
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'What is filed is amended, not prepared anew.';
    END IF;
    IF target.status <> 'preparing' THEN
        UPDATE payroll.tax_filing AS f
        SET status = 'preparing'
        WHERE f.business_id = tenant AND f.tax_filing_id = target.tax_filing_id;
    END IF;
    DELETE FROM payroll.tax_filing_line AS l
    WHERE l.business_id = tenant AND l.tax_filing_id = target.tax_filing_id AND l.is_computed;
    RETURN target.tax_filing_id;
END
$$;
COMMENT ON FUNCTION payroll.open_filing(uuid, text, date, date) IS
    'The return of a period of an account of the calling tenant, ready to be computed; refuses one
     that was filed. What was overridden stays.';

CREATE FUNCTION payroll.prepare_form_941(employer uuid, year integer, quarter integer)
    RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    starts  CONSTANT date := make_date(year, quarter * 3 - 2, 1);
    ends    CONSTANT date := (starts::timestamp + interval '3 months - 1 day')::date;
    form    text;
    account uuid;
    filing  uuid;
    t       record;
    people  integer;
    by_rate numeric;
BEGIN
    SELECT e.form_type, a.employer_tax_account_id INTO form, account
    FROM payroll.employer_entity AS e
    LEFT JOIN payroll.tax_jurisdiction AS j ON j.business_id = tenant AND j.level = 'federal'
    LEFT JOIN payroll.employer_tax_account AS a
        ON a.business_id = tenant AND a.employer_entity_id = e.employer_entity_id
       AND a.tax_jurisdiction_id = j.tax_jurisdiction_id AND a.tax_code_id IS NULL
    WHERE e.business_id = tenant AND e.employer_entity_id = employer
    ORDER BY a.status = 'closed'
    LIMIT 1;
    filing := payroll.open_filing(account, form, starts, ends);
    -- All from the totals of the quarter; the rates from the tables of its last day.
    SELECT coalesce(sum(a.amount_qtd) FILTER (
               WHERE a.item_kind = 'taxable_wage' AND c.tax_kind = 'income'), 0) AS wages,
           coalesce(sum(a.amount_qtd) FILTER (
               WHERE a.item_kind = 'tax' AND c.tax_kind = 'income'), 0) AS income,
           coalesce(sum(a.amount_qtd) FILTER (
               WHERE a.item_kind = 'taxable_wage' AND c.tax_kind = 'social_security'), 0) AS oasdi,
           coalesce(sum(a.amount_qtd) FILTER (
               WHERE a.item_kind = 'taxable_wage' AND c.tax_kind = 'medicare'), 0) AS medicare,
           coalesce(sum(a.amount_qtd) FILTER (
               WHERE a.item_kind = 'taxable_wage' AND c.tax_kind = 'additional_medicare'), 0)
               AS additional,
           coalesce(sum(a.amount_qtd) FILTER (
               WHERE a.item_kind = 'tax' AND c.tax_kind IN (
                   'social_security', 'medicare', 'additional_medicare')), 0) AS withheld,
           coalesce(max(v.rate + v.employer_rate) FILTER (
               WHERE c.tax_kind = 'social_security'), 0) AS oasdi_rate,
           coalesce(max(v.rate + v.employer_rate) FILTER (
               WHERE c.tax_kind = 'medicare'), 0) AS medicare_rate,
           coalesce(max(v.rate) FILTER (
               WHERE c.tax_kind = 'additional_medicare'), 0) AS additional_rate
    INTO t
    FROM payroll.ytd_accumulator AS a
    JOIN payroll.tax_jurisdiction AS j
        ON j.business_id = tenant AND j.code = a.jurisdiction_code AND j.level = 'federal'
    JOIN payroll.tax_code AS c
        ON c.business_id = tenant AND c.tax_jurisdiction_id = j.tax_jurisdiction_id
       AND c.code = split_part(a.item_code, ':', 1)
    LEFT JOIN payroll.tax_rate_version AS v
        ON v.business_id = tenant AND v.tax_rate_version_id = payroll.tax_version(c.tax_code_id,
                                                                                  ends)
    WHERE a.business_id = tenant AND a.employer_entity_id = employer AND a.tax_year = year
      AND a.quarter_no = quarter;
    -- Who was paid for the pay period with the 12th of the last month.
    SELECT count(DISTINCT p.employee_id) INTO people
    FROM payroll.paycheck AS p
    JOIN payroll.pay_run AS r ON r.business_id = tenant AND r.pay_run_id = p.pay_run_id
    JOIN payroll.pay_period AS d ON d.business_id = tenant AND d.pay_period_id = p.pay_period_id
    WHERE p.business_id = tenant AND r.employer_entity_id = employer
      AND payroll.paycheck_counts(p.status)
      AND make_date(year, quarter * 3, 12) BETWEEN d.starts_on AND d.ends_on;
    by_rate := round(t.oasdi * t.oasdi_rate, 2) + round(t.medicare * t.medicare_rate, 2)
               + round(t.additional * t.additional_rate, 2);
    INSERT INTO payroll.tax_filing_line
        (business_id, tax_filing_id, line_code, description, amount, wage_amount, worker_count,
         sort_order)
    SELECT tenant, filing, x.code, x.told, x.amount, x.wages, x.people, x.place
    FROM (VALUES
        (1, '1', 'Employees who were paid for the 12th', NULL::numeric, NULL::numeric, people),
        (2, '2', 'Wages, tips and other compensation', t.wages, NULL, NULL),
        (3, '3', 'Federal income tax withheld', t.income, NULL, NULL),
        (4, '5A', 'Taxable social security wages and tips', round(t.oasdi * t.oasdi_rate, 2),
         t.oasdi, NULL),
        (5, '5C', 'Taxable Medicare wages and tips', round(t.medicare * t.medicare_rate, 2),
         t.medicare, NULL),
        (6, '5D', 'Wages and tips subject to additional Medicare tax',
         round(t.additional * t.additional_rate, 2), t.additional, NULL),
        (7, '5E', 'Total social security and Medicare taxes', by_rate, NULL, NULL),
        (8, '6', 'Total taxes before adjustments', t.income + by_rate, NULL, NULL),
        (9, '7', 'Fractions of cents', t.withheld - by_rate, NULL, NULL),
        (10, '12', 'Total taxes after adjustments', t.income + t.withheld, NULL, NULL)
    ) AS x (place, code, told, amount, wages, people)
    ON CONFLICT DO NOTHING;
    INSERT INTO payroll.tax_filing_line
        (business_id, tax_filing_id, line_code, description, amount, liability_date, sort_order)
    SELECT tenant, filing, 'SCHB', 'Liability of ' || l.liability_date,
           sum(l.total_amount - l.overpaid_amount), l.liability_date,
           100 + row_number() OVER (ORDER BY l.liability_date)
    FROM payroll.tax_liability AS l
    JOIN payroll.tax_code AS c
        ON c.business_id = tenant AND c.tax_code_id = l.tax_code_id AND c.tax_kind <> 'futa'
    WHERE l.business_id = tenant AND l.employer_tax_account_id = account
      AND l.liability_date BETWEEN starts AND ends
    GROUP BY l.liability_date
    ON CONFLICT DO NOTHING;
    UPDATE payroll.tax_filing AS f
    SET total_tax_amount = (
            SELECT l.amount
            FROM payroll.tax_filing_line AS l
            WHERE l.business_id = tenant AND l.tax_filing_id = filing AND l.line_code = '12'),
        total_deposits_amount = payroll.deposited(account, starts, ends, false)
    WHERE f.business_id = tenant AND f.tax_filing_id = filing;
    RETURN filing;
END
$$;
COMMENT ON FUNCTION payroll.prepare_form_941(uuid, integer, integer) IS
    'Prepares the quarterly federal return of an employer of the calling tenant: lines from the
     totals of the quarter, Schedule B by liability date, and what was deposited for it.';

CREATE FUNCTION payroll.deposited(account uuid, starts date, ends date, is_futa boolean)
    RETURNS numeric
    LANGUAGE sql STABLE
    RETURN (
        SELECT coalesce(sum(l.total_amount), 0)
        FROM payroll.tax_liability AS l
        JOIN payroll.tax_code AS c
            ON c.business_id = l.business_id AND c.tax_code_id = l.tax_code_id
           AND (c.tax_kind = 'futa') = is_futa
        JOIN payroll.tax_deposit AS d
            ON d.business_id = l.business_id AND d.tax_deposit_id = l.tax_deposit_id
           AND d.status = 'settled'
        WHERE l.business_id = tenant_mgmt.current_business_id()
          AND l.employer_tax_account_id = account AND l.liability_date BETWEEN starts AND ends);
COMMENT ON FUNCTION payroll.deposited(uuid, date, date, boolean) IS
    'What settled deposits of the calling tenant paid for liabilities of a period of an account.';

CREATE FUNCTION payroll.prepare_return(account uuid, form text, starts date, ends date)
    RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    filing CONSTANT uuid := payroll.open_filing(account, form, starts, ends);
BEGIN
    -- The workers with their wages, where the return is a state's wage report.
    INSERT INTO payroll.tax_filing_line
        (business_id, tax_filing_id, employee_id, line_code, description, amount, wage_amount,
         sort_order)
    SELECT tenant, filing, p.employee_id, 'WORKER', 'Wages of the quarter', sum(t.tax_amount),
           sum(t.taxable_wages_amount), 100 + row_number() OVER (ORDER BY p.employee_id)
    FROM payroll.employer_tax_account AS a
    JOIN payroll.tax_jurisdiction AS j
        ON j.business_id = tenant AND j.tax_jurisdiction_id = a.tax_jurisdiction_id
       AND j.level <> 'federal'
    JOIN payroll.tax_code AS c
        ON c.business_id = tenant AND c.tax_jurisdiction_id = j.tax_jurisdiction_id
       AND c.tax_code_id = coalesce(a.tax_code_id, c.tax_code_id) AND c.tax_kind = 'sui'
    JOIN payroll.pay_run AS r
        ON r.business_id = tenant AND r.employer_entity_id = a.employer_entity_id
       AND r.check_date BETWEEN starts AND ends
    JOIN payroll.paycheck AS p
        ON p.business_id = tenant AND p.pay_run_id = r.pay_run_id
       AND payroll.paycheck_counts(p.status)
    JOIN payroll.paycheck_tax AS t
        ON t.business_id = tenant AND t.paycheck_id = p.paycheck_id
       AND t.tax_code_id = c.tax_code_id AND t.payer = 'employer'
    WHERE a.business_id = tenant AND a.employer_tax_account_id = account
    GROUP BY p.employee_id
    ON CONFLICT DO NOTHING;
    INSERT INTO payroll.tax_filing_line
        (business_id, tax_filing_id, line_code, description, amount, worker_count, sort_order)
    SELECT tenant, filing, 'TAX', 'Tax of the period',
           coalesce(sum(l.total_amount - l.overpaid_amount), 0),
           (SELECT count(*)
            FROM payroll.tax_filing_line AS w
            WHERE w.business_id = tenant AND w.tax_filing_id = filing
              AND w.line_code = 'WORKER'), 1
    FROM payroll.tax_liability AS l
    JOIN payroll.tax_code AS c
        ON c.business_id = tenant AND c.tax_code_id = l.tax_code_id AND c.filing_form = form
    WHERE l.business_id = tenant AND l.employer_tax_account_id = account
      AND l.liability_date BETWEEN starts AND ends
    ON CONFLICT DO NOTHING;
    UPDATE payroll.tax_filing AS f
    SET total_tax_amount = (
            SELECT l.amount
            FROM payroll.tax_filing_line AS l
            WHERE l.business_id = tenant AND l.tax_filing_id = filing AND l.line_code = 'TAX'),
        total_deposits_amount = payroll.deposited(account, starts, ends, form = '940')
    WHERE f.business_id = tenant AND f.tax_filing_id = filing;
    RETURN filing;
END
$$;
COMMENT ON FUNCTION payroll.prepare_return(uuid, text, date, date) IS
    'Prepares another return of an account of the calling tenant by its liabilities: a state''s
     income tax, its wage report with a row per worker, the 940 of a year.';


CREATE FUNCTION payroll.wage_boxes(employer uuid, year integer)
    RETURNS TABLE (employee_id uuid, box_code text, sub_code text, label text, amount numeric,
                   state_id text, locality_name text, jurisdiction uuid, place integer)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH total AS MATERIALIZED (
        SELECT a.employee_id, a.item_kind, split_part(a.item_code, ':', 1) AS code,
               a.item_code LIKE '%:employer' AS is_employer, a.jurisdiction_code,
               sum(a.amount_qtd) AS amount
        FROM payroll.ytd_accumulator AS a
        WHERE a.business_id = tenant_mgmt.current_business_id()
          AND a.employer_entity_id = employer AND a.tax_year = year
        GROUP BY a.employee_id, a.item_kind, a.item_code, a.jurisdiction_code
    ), tip AS (
        SELECT t.employee_id, sum(t.amount) AS amount
        FROM total AS t
        JOIN payroll.earning_code AS e
            ON e.business_id = tenant_mgmt.current_business_id() AND e.code = t.code
           AND e.earning_kind = 'tips' AND e.taxable_social_security
        WHERE t.item_kind = 'earning'
        GROUP BY t.employee_id
    ), tax AS (
        SELECT t.employee_id, t.item_kind, t.amount, t.is_employer, c.tax_kind, c.code, j.level,
               j.code AS place_code, j.name AS place_name, j.tax_jurisdiction_id,
               (SELECT min(x.account_number)
                FROM payroll.employer_tax_account AS x
                WHERE x.business_id = j.business_id AND x.employer_entity_id = employer
                  AND x.tax_jurisdiction_id = j.tax_jurisdiction_id
                  AND coalesce(x.tax_code_id, c.tax_code_id) = c.tax_code_id) AS account
        FROM total AS t
        JOIN payroll.tax_jurisdiction AS j
            ON j.business_id = tenant_mgmt.current_business_id() AND j.code = t.jurisdiction_code
        JOIN payroll.tax_code AS c
            ON c.business_id = j.business_id AND c.tax_jurisdiction_id = j.tax_jurisdiction_id
           AND c.code = t.code
        WHERE NOT t.is_employer
    ), box AS (
        SELECT x.employee_id, b.box, NULL::text AS sub, b.label,
               x.amount - CASE b.box WHEN '3' THEN coalesce((
                   SELECT least(p.amount, x.amount) FROM tip AS p
                   WHERE p.employee_id = x.employee_id), 0) ELSE 0 END AS amount,
               NULL::text AS state, NULL::text AS locality, NULL::uuid AS place, b.turn
        FROM tax AS x
        JOIN (VALUES ('income', 'taxable_wage', '1', 'Wages, tips, other compensation', 1),
                     ('income', 'tax', '2', 'Federal income tax withheld', 2),
                     ('social_security', 'taxable_wage', '3', 'Social security wages', 3),
                     ('social_security', 'tax', '4', 'Social security tax withheld', 4),
                     ('medicare', 'taxable_wage', '5', 'Medicare wages and tips', 5),
                     ('medicare', 'tax', '6', 'Medicare tax withheld', 6),
                     ('additional_medicare', 'tax', '6', 'Medicare tax withheld', 6))
            AS b (kind, item, box, label, turn) ON b.kind = x.tax_kind AND b.item = x.item_kind
        WHERE x.level = 'federal'
        UNION ALL
        SELECT p.employee_id, '7', NULL, 'Social security tips', least(p.amount, x.amount), NULL,
               NULL, NULL, 7
        FROM tip AS p
        JOIN tax AS x
            ON x.employee_id = p.employee_id AND x.tax_kind = 'social_security'
           AND x.item_kind = 'taxable_wage'
        UNION ALL
        -- What codes of deductions and earnings say: 12-D, 10, 14.
        SELECT t.employee_id, split_part(k.box, '-', 1), nullif(split_part(k.box, '-', 2), ''),
               k.name, t.amount, NULL, NULL, NULL, 10
        FROM total AS t
        JOIN (
            SELECT 'deduction' AS kind, d.code::text AS code, d.w2_box_code::text AS box, d.name
            FROM payroll.deduction_code AS d
            WHERE d.business_id = tenant_mgmt.current_business_id()
            UNION ALL
            SELECT 'earning', e.code, e.w2_box, e.name
            FROM payroll.earning_code AS e
            WHERE e.business_id = tenant_mgmt.current_business_id() AND e.earning_kind <> 'tips'
        ) AS k ON k.kind = t.item_kind AND k.code = t.code
        -- What the employer adds is told of a health savings account alone.
        WHERE k.box ~ '^(1[0-4])(-[A-Z]+)?$' AND (NOT t.is_employer OR k.box = '12-W')
        UNION ALL
        SELECT x.employee_id, b.box, NULL, b.label, x.amount,
               x.place_code || coalesce(' ' || x.account, ''),
               CASE WHEN x.tax_kind = 'local_income' THEN x.place_name END,
               x.tax_jurisdiction_id, b.turn
        FROM tax AS x
        JOIN (VALUES ('income', 'taxable_wage', '16', 'State wages, tips, etc.', 16),
                     ('income', 'tax', '17', 'State income tax', 17),
                     ('local_income', 'taxable_wage', '18', 'Local wages, tips, etc.', 18),
                     ('local_income', 'tax', '19', 'Local income tax', 19))
            AS b (kind, item, box, label, turn) ON b.kind = x.tax_kind AND b.item = x.item_kind
        WHERE x.level <> 'federal'
    )
    SELECT b.employee_id, b.box, b.sub, min(b.label), sum(b.amount), b.state, b.locality,
           (array_agg(b.place))[1], min(b.turn)
    FROM box AS b
    GROUP BY b.employee_id, b.box, b.sub, b.state, b.locality
    HAVING sum(b.amount) > 0;
END;
COMMENT ON FUNCTION payroll.wage_boxes(uuid, integer) IS
    'The boxes of the W-2 of each employee of an employer of the calling tenant, by the totals of
     the year.';

CREATE FUNCTION payroll.build_wage_statements(employer uuid, year integer) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    place  uuid;
    due    date;
    least_ numeric;
    made   integer;
    more   integer;
BEGIN
    PERFORM FROM payroll.employer_entity AS e
    WHERE e.business_id = tenant AND e.employer_entity_id = employer
    FOR NO KEY UPDATE;
    SELECT j.tax_jurisdiction_id, r.contractor_report_amount INTO place, least_
    FROM payroll.tax_jurisdiction AS j
    LEFT JOIN LATERAL payroll.deposit_rule_on(j.tax_jurisdiction_id, make_date(year, 12, 31)) AS r
        ON true
    WHERE j.business_id = tenant AND j.level = 'federal'
    ORDER BY j.code
    LIMIT 1;
    due := payroll.return_due_on(place, make_date(year, 12, 31));
    -- A draft is made anew.
    DELETE FROM payroll.wage_statement AS w
    WHERE w.business_id = tenant AND w.employer_entity_id = employer AND w.tax_year = year
      AND w.status = 'draft' AND w.corrects_wage_statement_id IS NULL;
    INSERT INTO payroll.wage_statement
        (business_id, employer_entity_id, employee_id, tax_year, form_kind, control_number,
         due_on, is_retirement_plan, state_copies)
    SELECT tenant, employer, b.employee_id, year, 'w2', format('W2-%s-%s', year, e.employee_number),
           due, coalesce(bool_or(b.sub_code IN ('D', 'AA')), false),
           count(DISTINCT b.state_id)
    FROM payroll.wage_boxes(employer, year) AS b
    JOIN payroll.employee AS e ON e.business_id = tenant AND e.employee_id = b.employee_id
    GROUP BY b.employee_id, e.employee_number
    ORDER BY e.employee_number
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS made = ROW_COUNT;
    INSERT INTO payroll.wage_statement_box
        (business_id, wage_statement_id, tax_jurisdiction_id, box_code, sub_code, label, amount,
         state_id, locality_name, sort_order)
    SELECT tenant, w.wage_statement_id, b.jurisdiction, b.box_code, b.sub_code, b.label, b.amount,
           b.state_id, b.locality_name, b.place
    FROM payroll.wage_boxes(employer, year) AS b
    JOIN payroll.wage_statement AS w
        ON w.business_id = tenant AND w.employer_entity_id = employer AND w.tax_year = year
       AND w.employee_id = b.employee_id AND w.status = 'draft' AND w.form_kind = 'w2'
    ORDER BY w.control_number, b.place;
    INSERT INTO payroll.wage_statement
        (business_id, employer_entity_id, contractor_id, tax_year, form_kind, control_number,
         due_on)
    SELECT tenant, employer, c.contractor_id, year, '1099_nec',
           format('NEC-%s-%s', year, c.contractor_number), due
    FROM payroll.contractor AS c
    WHERE c.business_id = tenant AND c.employer_entity_id = employer AND (
        SELECT sum(p.amount) >= coalesce(least_, 0)
        FROM payroll.contractor_payment AS p
        WHERE p.business_id = tenant AND p.contractor_id = c.contractor_id
          AND p.status = 'paid' AND p.counts_on_1099
          AND extract(year FROM p.paid_on) = year)
    ORDER BY c.contractor_number
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS more = ROW_COUNT;
    INSERT INTO payroll.wage_statement_box
        (business_id, wage_statement_id, box_code, label, amount, sort_order)
    SELECT tenant, w.wage_statement_id, x.box, x.label, x.amount, x.turn
    FROM payroll.wage_statement AS w
    CROSS JOIN LATERAL (
        SELECT sum(p.amount) AS paid, sum(p.backup_withholding_amount) AS withheld
        FROM payroll.contractor_payment AS p
        WHERE p.business_id = tenant AND p.contractor_id = w.contractor_id
          AND p.status = 'paid' AND p.counts_on_1099 AND extract(year FROM p.paid_on) = year
    ) AS s
    CROSS JOIN LATERAL (VALUES
        ('1', 'Nonemployee compensation', s.paid, 1),
        ('4', 'Federal income tax withheld', s.withheld, 4)) AS x (box, label, amount, turn)
    WHERE w.business_id = tenant AND w.employer_entity_id = employer AND w.tax_year = year
      AND w.status = 'draft' AND w.form_kind = '1099_nec' AND x.amount > 0
    ORDER BY w.control_number, x.turn;
    RETURN made + more;
END
$$;
COMMENT ON FUNCTION payroll.build_wage_statements(uuid, integer) IS
    'Drafts the W-2 of each employee and the 1099 of each contractor of an employer of the calling
     tenant for a year; drafts are made anew, what was reviewed stays. How many are drafted.';

CREATE FUNCTION payroll.correct_wage_statement(statement uuid) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant   CONSTANT uuid := tenant_mgmt.current_business_id();
    original payroll.wage_statement;
    made     uuid;
BEGIN
    SELECT w.* INTO original
    FROM payroll.wage_statement AS w
    WHERE w.business_id = tenant AND w.wage_statement_id = statement
    FOR NO KEY UPDATE;
    IF original.form_kind IS DISTINCT FROM 'w2'
       OR original.status NOT IN ('furnished', 'transmitted', 'accepted') THEN
        RAISE EXCEPTION 'a W-2 that was furnished is corrected, not %',
                        coalesce(original.status, 'a missing one')
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'A draft is built anew.';
    END IF;
    INSERT INTO payroll.wage_statement
        (business_id, corrects_wage_statement_id, employer_entity_id, employee_id, tax_year,
         form_kind, control_number, due_on, is_retirement_plan, state_copies)
    VALUES (tenant, statement, original.employer_entity_id, original.employee_id,
            original.tax_year, 'w2c', original.control_number || '-C', original.due_on,
            original.is_retirement_plan, original.state_copies)
    RETURNING wage_statement_id INTO made;
    INSERT INTO payroll.wage_statement_box
        (business_id, wage_statement_id, tax_jurisdiction_id, box_code, sub_code, label, amount,
         state_id, locality_name, sort_order)
    SELECT tenant, made, b.jurisdiction, b.box_code, b.sub_code, b.label, b.amount, b.state_id,
           b.locality_name, b.place
    FROM payroll.wage_boxes(original.employer_entity_id, original.tax_year) AS b
    WHERE b.employee_id = original.employee_id
    ORDER BY b.place;
    UPDATE payroll.wage_statement AS w
    SET status = 'corrected'
    WHERE w.business_id = tenant AND w.wage_statement_id = statement;
    RETURN made;
END
$$;
COMMENT ON FUNCTION payroll.correct_wage_statement(uuid) IS
    'Drafts a W-2c with what the totals of the calling tenant now say; the W-2 is corrected by it.';


CREATE VIEW payroll.v_form_941_reconciliation WITH (security_invoker = true) AS
SELECT f.business_id, a.employer_entity_id, f.tax_filing_id, f.tax_year, f.quarter_no, f.status,
       q.wages AS register_wages, l.wages AS return_wages, q.tax AS register_tax,
       f.total_tax_amount AS return_tax, l.by_day AS schedule_b, f.total_deposits_amount,
       f.balance_due_amount, s.w2_wages, y.year_wages,
       q.tax = f.total_tax_amount AND l.by_day = f.total_tax_amount
       AND q.wages IS NOT DISTINCT FROM l.wages AS is_tied
FROM payroll.tax_filing AS f
JOIN payroll.employer_tax_account AS a
    ON a.business_id = f.business_id AND a.employer_tax_account_id = f.employer_tax_account_id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(x.amount_qtd) FILTER (
               WHERE x.item_kind = 'tax' AND c.tax_kind <> 'futa'), 0) AS tax,
           coalesce(sum(x.amount_qtd) FILTER (
               WHERE x.item_kind = 'taxable_wage' AND c.tax_kind = 'income'), 0) AS wages
    FROM payroll.tax_jurisdiction AS j
    JOIN payroll.tax_code AS c
        ON c.business_id = j.business_id AND c.tax_jurisdiction_id = j.tax_jurisdiction_id
    JOIN payroll.ytd_accumulator AS x
        ON x.business_id = j.business_id AND x.employer_entity_id = a.employer_entity_id
       AND x.tax_year = f.tax_year AND x.quarter_no = f.quarter_no
       AND x.jurisdiction_code = j.code AND split_part(x.item_code, ':', 1) = c.code
    WHERE j.business_id = f.business_id AND j.level = 'federal'
) AS q
CROSS JOIN LATERAL (
    SELECT max(x.amount) FILTER (WHERE x.line_code = '2') AS wages,
           coalesce(sum(x.amount) FILTER (WHERE x.line_code = 'SCHB'), 0) AS by_day
    FROM payroll.tax_filing_line AS x
    WHERE x.business_id = f.business_id AND x.tax_filing_id = f.tax_filing_id
) AS l
CROSS JOIN LATERAL (
    SELECT sum(b.amount) AS w2_wages
    FROM payroll.wage_statement AS w
    JOIN payroll.wage_statement_box AS b
        ON b.business_id = w.business_id AND b.wage_statement_id = w.wage_statement_id
       AND b.box_code = '1'
    WHERE w.business_id = f.business_id AND w.employer_entity_id = a.employer_entity_id
      AND w.tax_year = f.tax_year AND w.employee_id IS NOT NULL
      AND w.status NOT IN ('corrected', 'void')
) AS s
CROSS JOIN LATERAL (
    SELECT sum(x.amount) AS year_wages
    FROM payroll.tax_filing AS o
    JOIN payroll.tax_filing_line AS x
        ON x.business_id = o.business_id AND x.tax_filing_id = o.tax_filing_id
       AND x.line_code = '2'
    WHERE o.business_id = f.business_id AND o.tax_year = f.tax_year
      AND o.employer_tax_account_id = f.employer_tax_account_id AND o.form_code = f.form_code
) AS y
WHERE f.form_code = '941';
COMMENT ON VIEW payroll.v_form_941_reconciliation IS
    'Each quarterly return against the totals of the register, its Schedule B, its deposits and the
     W-2s of the year.';
GRANT SELECT ON payroll.v_form_941_reconciliation TO app_user, app_readonly;
