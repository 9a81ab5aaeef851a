/*
 * Saved reports and their runs.
 *
 * A report_definition names columns, filters and grouping as a document; report_columns() is the
 * list of what a kind of report may show, and which of it is pay. run_report() reads the rows
 * (report_facts()), hides pay of people outside the reader's line where the definition masks it,
 * groups, and writes a report_run with how many rows were shown and how many were masked.
 */

CREATE FUNCTION payroll.report_columns(kind text)
    RETURNS TABLE (column_name text, is_pay boolean)
    LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT c.column_name, c.is_pay
    FROM (VALUES
        ('register', 'run_number', false), ('register', 'check_date', false),
        ('register', 'check_number', false), ('register', 'employee_number', false),
        ('register', 'name', false), ('register', 'status', false),
        ('register', 'hours', false), ('register', 'gross', true), ('register', 'taxes', true),
        ('register', 'deductions', true), ('register', 'net', true),
        ('register', 'employer_taxes', true),
        ('labor_cost', 'check_date', false), ('labor_cost', 'department', false),
        ('labor_cost', 'place', false), ('labor_cost', 'regular_hours', false),
        ('labor_cost', 'overtime_hours', false), ('labor_cost', 'gross', true),
        ('labor_cost', 'overtime', true), ('labor_cost', 'total_cost', true),
        ('labor_cost', 'budget', false),
        ('tax_liability', 'liability_date', false), ('tax_liability', 'tax', false),
        ('tax_liability', 'due_on', false), ('tax_liability', 'status', false),
        ('tax_liability', 'employee_amount', false), ('tax_liability', 'employer_amount', false),
        ('tax_liability', 'total', false),
        ('deduction', 'check_date', false), ('deduction', 'employee_number', false),
        ('deduction', 'name', false), ('deduction', 'deduction', false),
        ('deduction', 'employee_amount', true), ('deduction', 'employer_amount', true),
        ('deduction', 'year_to_date', true),
        ('benefit_cost', 'check_date', false), ('benefit_cost', 'employee_number', false),
        ('benefit_cost', 'deduction', false), ('benefit_cost', 'employee_amount', true),
        ('benefit_cost', 'employer_amount', true),
        ('time', 'period_end', false), ('time', 'employee_number', false), ('time', 'name', false),
        ('time', 'status', false), ('time', 'regular_hours', false),
        ('time', 'overtime_hours', false), ('time', 'pto_hours', false),
        ('headcount', 'month', false), ('headcount', 'department', false),
        ('headcount', 'place', false), ('headcount', 'headcount', false),
        ('headcount', 'fte', false), ('headcount', 'hires', false),
        ('headcount', 'terminations', false)
    ) AS c (report_kind, column_name, is_pay)
    -- A custom report is a register that somebody cut to their need.
    WHERE c.report_kind = CASE kind WHEN 'custom' THEN 'register' ELSE kind END;
END;
COMMENT ON FUNCTION payroll.report_columns(text) IS
    'What a kind of report may show, and which of it is somebody''s pay. Numbers of accounts and of
     social security are in none.';

CREATE FUNCTION payroll.report_problems(kind text, definition jsonb) RETURNS SETOF text
    LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT 'columns: at least one'
    WHERE jsonb_typeof(definition -> 'columns') IS DISTINCT FROM 'array'
       OR definition -> 'columns' = '[]'
    UNION ALL
    SELECT format('%s: what is this?', k)
    FROM jsonb_object_keys(definition) AS k
    WHERE k NOT IN ('columns', 'filters', 'group_by')
    UNION ALL
    SELECT format('%s: a %s report has no column %s', n.part, kind, n.name)
    FROM (
        SELECT 'columns' AS part, c.name
        FROM JSON_TABLE(definition, '$.columns[*]' COLUMNS (name text PATH '$')) AS c
        UNION ALL
        SELECT 'group_by', g.name
        FROM JSON_TABLE(definition, '$.group_by[*]' COLUMNS (name text PATH '$')) AS g
        UNION ALL
        SELECT 'filters', f.name
        FROM JSON_TABLE(definition, '$.filters.keyvalue()'
                        COLUMNS (name text PATH '$.key')) AS f
    ) AS n
    WHERE n.name IS NULL
       OR n.name NOT IN (SELECT a.column_name FROM payroll.report_columns(kind) AS a)
    UNION ALL
    SELECT format('group_by: %s is not among the columns', g.name)
    FROM JSON_TABLE(definition, '$.group_by[*]' COLUMNS (name text PATH '$')) AS g
    WHERE NOT coalesce(definition -> 'columns' ? g.name, false)
    UNION ALL
    -- A filter on pay would tell a reader by its rows what the mask hides.
    SELECT format('filters: %s is pay', f.name)
    FROM JSON_TABLE(definition, '$.filters.keyvalue()' COLUMNS (name text PATH '$.key')) AS f
    JOIN payroll.report_columns(kind) AS a ON a.column_name = f.name AND a.is_pay;
END;
COMMENT ON FUNCTION payroll.report_problems(text, jsonb) IS
    'What is wrong with the definition of a report: {"columns": [name], "filters": {name: value},
     "group_by": [name]}; nothing where it names allowed columns only.';


CREATE TABLE payroll.report_definition (
    business_id           uuid                    NOT NULL,
    report_definition_id  uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id uuid                    NOT NULL,
    code                  system_core.code        NOT NULL,
    name                  text                    NOT NULL,
    report_kind           text                    NOT NULL,
    definition            system_core.json_object NOT NULL,
    visibility            text                    NOT NULL DEFAULT 'private',
    schedule_cron         text,
    recipients            text[]                  NOT NULL DEFAULT '{}',
    masks_pay             boolean                 NOT NULL DEFAULT true,
    last_run_at           timestamptz,
    is_active             boolean                 NOT NULL DEFAULT true,
    created_at            timestamptz             NOT NULL DEFAULT now(),
    updated_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, report_definition_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT report_definition_kind_known
        CHECK (report_kind IN ('register', 'labor_cost', 'tax_liability', 'deduction', 'time',
                               'headcount', 'benefit_cost', 'custom')),
    CONSTRAINT report_definition_visibility_known
        CHECK (visibility IN ('private', 'payroll', 'finance', 'managers')),
    CONSTRAINT report_definition_named CHECK (name ~ '\S'),
    CONSTRAINT report_definition_masks_pay_from_managers
        CHECK (visibility <> 'managers' OR masks_pay),
    CONSTRAINT report_definition_schedule_has_five_fields
        CHECK (schedule_cron ~ '^[0-9*/,-]+( [0-9A-Za-z*/,-]+){4}$'),
    CONSTRAINT report_definition_schedule_has_recipients
        CHECK (schedule_cron IS NULL OR cardinality(recipients) > 0)
);

COMMENT ON TABLE payroll.report_definition IS
    'Saved payroll report with its columns, filters and schedule.';
COMMENT ON COLUMN payroll.report_definition.definition IS
    '{"columns": [name], "filters": {name: value}, "group_by": [name]} of report_columns().';
COMMENT ON COLUMN payroll.report_definition.masks_pay IS
    'Pay is shown of the people in the reader''s line only.';
COMMENT ON COLUMN payroll.report_definition.schedule_cron IS
    'Minute, hour, day of the month, month, day of the week; NULL: when somebody asks.';

-- FK: the reports of somebody.
CREATE INDEX report_definition_owner_user_account_idx
    ON payroll.report_definition (business_id, owner_user_account_id);

ALTER TABLE payroll.report_definition ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.report_definition
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.report_definition TO app_user;
GRANT SELECT ON payroll.report_definition TO app_readonly;

CREATE TRIGGER report_definition_touch
    BEFORE UPDATE ON payroll.report_definition
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.require_allowed_columns() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    problem CONSTANT text := (SELECT string_agg(p, '; ' ORDER BY p)
                              FROM payroll.report_problems(NEW.report_kind, NEW.definition) AS p);
BEGIN
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'report %: %', NEW.code, problem
            USING ERRCODE = 'check_violation',
                  HINT = 'payroll.report_columns() lists what a kind of report may show.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.require_allowed_columns() IS
    'A report shows what is allowed for its kind, whoever wrote the document.';

CREATE TRIGGER report_definition_allowed_columns
    BEFORE INSERT OR UPDATE OF report_kind, definition ON payroll.report_definition
    FOR EACH ROW EXECUTE FUNCTION payroll.require_allowed_columns();


CREATE TABLE payroll.report_run (
    business_id          uuid                     NOT NULL,
    report_run_id        uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    report_definition_id uuid                     NOT NULL,
    run_by               uuid,
    file_object_id       uuid,
    started_at           timestamptz              NOT NULL,
    finished_at          timestamptz,
    parameters           system_core.json_object  NOT NULL DEFAULT '{}',
    row_count            integer                  NOT NULL DEFAULT 0,
    format               text                     NOT NULL DEFAULT 'screen',
    status               text                     NOT NULL DEFAULT 'running',
    duration_ms          system_core.milliseconds GENERATED ALWAYS AS
                                                      (greatest(0, round(
                                                          extract(epoch FROM
                                                                  finished_at - started_at)
                                                          * 1000, 3))) STORED,
    error_detail         text,
    rows_masked          integer                  NOT NULL DEFAULT 0,
    created_at           timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, report_run_id, started_at),
    FOREIGN KEY (business_id, report_definition_id)
        REFERENCES payroll.report_definition (business_id, report_definition_id),
    FOREIGN KEY (business_id, run_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT report_run_format_known CHECK (format IN ('screen', 'csv', 'xlsx', 'pdf')),
    CONSTRAINT report_run_status_known
        CHECK (status IN ('running', 'done', 'failed', 'cancelled')),
    CONSTRAINT report_run_finishes_after_start CHECK (finished_at >= started_at),
    CONSTRAINT report_run_running_until_finished
        CHECK ((status = 'running') = (finished_at IS NULL)),
    CONSTRAINT report_run_failed_says_why
        CHECK (status <> 'failed' OR coalesce(error_detail, '') ~ '\S'),
    CONSTRAINT report_run_rows_countable CHECK (row_count >= 0 AND rows_masked >= 0),
    CONSTRAINT report_run_file_of_finished
        CHECK (file_object_id IS NULL OR (status = 'done' AND format <> 'screen'))
) PARTITION BY RANGE (started_at);

COMMENT ON TABLE payroll.report_run IS
    'Execution of a report with parameters and size; what has finished stays as it was.';
COMMENT ON COLUMN payroll.report_run.run_by IS 'NULL: by schedule.';
COMMENT ON COLUMN payroll.report_run.rows_masked IS
    'Rows read whose pay was hidden from the reader: a grouped report shows fewer.';

-- FK: what somebody ran.
CREATE INDEX report_run_run_by_idx
    ON payroll.report_run (business_id, run_by)
    WHERE run_by IS NOT NULL;

-- FK: the runs of a report, the newest first.
CREATE INDEX report_run_report_definition_idx
    ON payroll.report_run (business_id, report_definition_id, started_at DESC);

-- FK: which run made a file.
CREATE INDEX report_run_file_object_idx
    ON payroll.report_run (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

ALTER TABLE payroll.report_run ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.report_run
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE ON payroll.report_run TO app_user;
GRANT SELECT ON payroll.report_run TO app_readonly;

CREATE TRIGGER report_run_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.report_run
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["running", "done", "failed"],
        "transitions": {
            "running":   ["done", "failed", "cancelled"],
            "done":      [],
            "failed":    [],
            "cancelled": []
        }}');

CREATE TRIGGER report_run_stands
    BEFORE UPDATE ON payroll.report_run
    FOR EACH ROW WHEN (OLD.status <> 'running')
    EXECUTE FUNCTION system_core.refuse_change('payroll.report_run');
CREATE TRIGGER report_run_not_deleted
    BEFORE DELETE ON payroll.report_run
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('payroll.report_run');

CREATE TABLE payroll.report_run_default PARTITION OF payroll.report_run DEFAULT;
ALTER TABLE payroll.report_run_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.report_run_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('payroll.report_run', 'month', behind => 13, ahead => 3);


CREATE FUNCTION payroll.line_of(manager uuid, day date DEFAULT current_date)
    RETURNS TABLE (employee_id uuid, depth integer)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE line AS (
        SELECT manager AS employee_id, 0 AS depth, ARRAY[manager] AS above
        UNION ALL
        SELECT a.employee_id, l.depth + 1, l.above || a.employee_id
        FROM line AS l
        JOIN payroll.job_assignment AS a
            ON a.business_id = tenant_mgmt.current_business_id()
           AND a.manager_employee_id = l.employee_id
           AND daterange(a.effective_from, a.effective_until) @> day
        -- Two that lead each other in two jobs do not go round for ever.
        WHERE a.employee_id <> ALL (l.above)
    )
    SELECT l.employee_id, min(l.depth)
    FROM line AS l
    WHERE l.employee_id IS NOT NULL
    GROUP BY l.employee_id;
END;
COMMENT ON FUNCTION payroll.line_of(uuid, date) IS
    'A manager of the calling tenant and everybody below on a day, however far: theirs is the pay
     that a manager''s report shows.';

CREATE FUNCTION payroll.report_facts(kind text, since date, until date)
    RETURNS TABLE (employee_id uuid, facts jsonb)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT p.employee_id,
           jsonb_build_object(
               'run_number', r.run_number, 'check_date', p.check_date,
               'check_number', p.check_number, 'employee_number', e.employee_number,
               'name', concat_ws(' ', e.first_name, e.last_name), 'status', p.status,
               'hours', p.hours_worked, 'gross', p.gross_amount, 'taxes', p.employee_tax_amount,
               'deductions', p.pretax_deduction_amount + p.posttax_deduction_amount,
               'net', p.net_amount, 'employer_taxes', p.employer_tax_amount) AS facts
    FROM payroll.paycheck AS p
    JOIN payroll.pay_run AS r ON r.business_id = p.business_id AND r.pay_run_id = p.pay_run_id
    JOIN payroll.employee AS e ON e.business_id = p.business_id AND e.employee_id = p.employee_id
    WHERE p.business_id = tenant_mgmt.current_business_id() AND kind IN ('register', 'custom')
      AND p.check_date >= since AND p.check_date < until
    UNION ALL
    SELECT NULL,
           jsonb_build_object(
               'check_date', o.check_date, 'department', d.name, 'place', w.name,
               'regular_hours', c.regular_hours, 'overtime_hours', c.overtime_hours,
               'gross', c.gross_amount, 'overtime', c.overtime_amount,
               'total_cost', c.total_cost_amount, 'budget', c.budget_amount)
    FROM payroll.labor_cost_snapshot AS c
    JOIN payroll.pay_period AS o
        ON o.business_id = c.business_id AND o.pay_period_id = c.pay_period_id
    JOIN payroll.department AS d
        ON d.business_id = c.business_id AND d.department_id = c.department_id
    JOIN payroll.work_location AS w
        ON w.business_id = c.business_id AND w.work_location_id = c.work_location_id
    WHERE c.business_id = tenant_mgmt.current_business_id() AND kind = 'labor_cost'
      AND o.check_date >= since AND o.check_date < until
    UNION ALL
    SELECT NULL,
           jsonb_build_object(
               'liability_date', l.liability_date, 'tax', t.code, 'due_on', l.due_on,
               'status', l.status, 'employee_amount', l.employee_amount,
               'employer_amount', l.employer_amount, 'total', l.total_amount)
    FROM payroll.tax_liability AS l
    JOIN payroll.tax_code AS t ON t.business_id = l.business_id AND t.tax_code_id = l.tax_code_id
    WHERE l.business_id = tenant_mgmt.current_business_id() AND kind = 'tax_liability'
      AND l.liability_date >= since AND l.liability_date < until
    UNION ALL
    SELECT p.employee_id,
           jsonb_build_object(
               'check_date', p.check_date, 'employee_number', e.employee_number,
               'name', concat_ws(' ', e.first_name, e.last_name), 'deduction', k.name,
               'employee_amount', d.employee_amount, 'employer_amount', d.employer_amount,
               'year_to_date', d.ytd_employee_amount)
    FROM payroll.paycheck_deduction AS d
    JOIN payroll.paycheck AS p ON p.business_id = d.business_id AND p.paycheck_id = d.paycheck_id
    JOIN payroll.employee AS e ON e.business_id = p.business_id AND e.employee_id = p.employee_id
    JOIN payroll.deduction_code AS k
        ON k.business_id = d.business_id AND k.deduction_code_id = d.deduction_code_id
    WHERE d.business_id = tenant_mgmt.current_business_id()
      AND (kind = 'deduction' OR (kind = 'benefit_cost' AND d.employer_amount > 0))
      AND p.check_date >= since AND p.check_date < until
    UNION ALL
    SELECT t.employee_id,
           jsonb_build_object(
               'period_end', o.ends_on, 'employee_number', e.employee_number,
               'name', concat_ws(' ', e.first_name, e.last_name), 'status', t.status,
               'regular_hours', t.regular_hours, 'overtime_hours', t.overtime_hours,
               'pto_hours', t.pto_hours)
    FROM payroll.timesheet AS t
    JOIN payroll.pay_period AS o
        ON o.business_id = t.business_id AND o.pay_period_id = t.pay_period_id
    JOIN payroll.employee AS e ON e.business_id = t.business_id AND e.employee_id = t.employee_id
    WHERE t.business_id = tenant_mgmt.current_business_id() AND kind = 'time'
      AND o.ends_on >= since AND o.ends_on < until
    UNION ALL
    SELECT NULL,
           jsonb_build_object(
               'month', h.snapshot_month, 'department', d.name, 'place', w.name,
               'headcount', h.headcount, 'fte', h.fte, 'hires', h.hires,
               'terminations', h.terminations)
    FROM payroll.headcount_snapshot AS h
    JOIN payroll.department AS d
        ON d.business_id = h.business_id AND d.department_id = h.department_id
    JOIN payroll.work_location AS w
        ON w.business_id = h.business_id AND w.work_location_id = h.work_location_id
    WHERE h.business_id = tenant_mgmt.current_business_id() AND kind = 'headcount'
      AND h.snapshot_month >= since AND h.snapshot_month < until;
END;
COMMENT ON FUNCTION payroll.report_facts(text, date, date) IS
    'The rows of a kind of report of the calling tenant with every column that it may show.';

CREATE FUNCTION payroll.run_report(
    report uuid,
    reader uuid,
    since  date,
    until  date,
    day    date DEFAULT current_date
) RETURNS SETOF jsonb
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid        := tenant_mgmt.current_business_id();
    started CONSTANT timestamptz := clock_timestamp();
    wanted  payroll.report_definition;
    chosen  text[];
    grouped text[];
    pay     text[];
    shown   uuid[];
    rows    jsonb;
    masked  integer;
BEGIN
    SELECT d.* INTO wanted
    FROM payroll.report_definition AS d
    WHERE d.business_id = tenant AND d.report_definition_id = report AND d.is_active;
    -- A private report of somebody else is not there.
    IF wanted.code IS NULL
       OR (wanted.visibility = 'private'
           AND wanted.owner_user_account_id IS DISTINCT FROM reader) THEN
        RAISE EXCEPTION 'there is no such report' USING ERRCODE = 'no_data_found';
    END IF;
    chosen := ARRAY(SELECT x FROM jsonb_array_elements_text(wanted.definition -> 'columns') AS x);
    grouped := ARRAY(SELECT x FROM jsonb_array_elements_text(
                         coalesce(wanted.definition -> 'group_by', '[]')) AS x);
    pay := ARRAY(SELECT c.column_name
                 FROM payroll.report_columns(wanted.report_kind) AS c
                 WHERE c.is_pay AND c.column_name = ANY (chosen));
    shown := ARRAY(SELECT l.employee_id
                   FROM payroll.employee AS e
                   CROSS JOIN LATERAL payroll.line_of(e.employee_id, day) AS l
                   WHERE e.business_id = tenant AND e.user_account_id = reader);

    WITH read AS (
        SELECT f.facts,
               -- What names no one (the cost of a department) may still be one person's pay.
               wanted.masks_pay AND cardinality(pay) > 0
               AND coalesce(f.employee_id <> ALL (shown), true) AS is_masked
        FROM payroll.report_facts(wanted.report_kind, since, until) AS f
        WHERE f.facts @> coalesce(wanted.definition -> 'filters', '{}')
    ), cut AS (
        SELECT r.is_masked,
               (SELECT jsonb_object_agg(c, CASE WHEN r.is_masked AND c = ANY (pay) THEN 'null'
                                                ELSE r.facts -> c END)
                FROM unnest(chosen) AS c) AS line
        FROM read AS r
    ), summed AS (
        SELECT (SELECT jsonb_object_agg(g, c.line -> g) FROM unnest(grouped) AS g) AS key,
               x.key AS name, sum((x.value #>> '{}')::numeric) AS total
        FROM cut AS c
        CROSS JOIN LATERAL jsonb_each(c.line) AS x
        WHERE cardinality(grouped) > 0 AND x.key <> ALL (grouped)
          AND jsonb_typeof(x.value) = 'number'
        GROUP BY 1, 2
    )
    SELECT coalesce(CASE WHEN cardinality(grouped) > 0
                         THEN (SELECT jsonb_agg(k.line ORDER BY k.line)
                               FROM (SELECT s.key || jsonb_object_agg(s.name, s.total) AS line
                                     FROM summed AS s
                                     GROUP BY s.key) AS k)
                         ELSE (SELECT jsonb_agg(c.line ORDER BY c.line) FROM cut AS c) END, '[]'),
           (SELECT count(*) FROM cut AS c WHERE c.is_masked)
    INTO rows, masked;

    INSERT INTO payroll.report_run
        (business_id, report_definition_id, run_by, started_at, finished_at, parameters,
         row_count, status, rows_masked)
    VALUES (tenant, report, reader, started, clock_timestamp(),
            jsonb_build_object('since', since, 'until', until), jsonb_array_length(rows), 'done',
            masked);
    UPDATE payroll.report_definition AS d
    SET last_run_at = greatest(d.last_run_at, started)
    WHERE d.business_id = tenant AND d.report_definition_id = report;
    RETURN QUERY SELECT x FROM jsonb_array_elements(rows) AS x;
END
$$;
COMMENT ON FUNCTION payroll.run_report(uuid, uuid, date, date, date) IS
    'The rows of a report of the calling tenant for a reader and a period, the end excluded. Where
     the report masks pay, it is null of everybody outside the reader''s line. Leaves a
     report_run.';
