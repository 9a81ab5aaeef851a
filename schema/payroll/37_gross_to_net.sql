/*
 * Gross to net, part by part: time, taxes, garnishments, deductions.
 *
 * time_pay() is what an employee's time of a period is worth. tax_lines() is the tax of given wages
 * without writing anything, so that gross_up() can ask it again and again; calculate_taxes() writes
 * it for a paycheck. garnishment_amounts() shares the disposable earnings among orders;
 * take_deductions() takes what stands for an employee by priority, each out of what is left. Every
 * rate, base and limit comes from the tenant's rows. 38_pay_calculation.sql puts them together.
 *
 * Wages are taxed by the place of the primary job and by the home on the check date.
 */

CREATE FUNCTION payroll.time_pay(employee uuid, period uuid)
    RETURNS TABLE (earning_code_id uuid, job_assignment_id uuid, department_id uuid,
                   work_location_id uuid, hours numeric, rate_amount numeric,
                   regular_rate_amount numeric, units numeric, amount numeric,
                   project_code text, is_overtime boolean)
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    -- In plpgsql, which keeps the plan: a run asks it for each of its people.
    RETURN QUERY
    WITH span AS (
        SELECT p.starts_on, p.ends_on, payroll.pay_periods_a_year(s.frequency) AS periods
        FROM payroll.pay_period AS p
        JOIN payroll.pay_schedule AS s
            ON s.business_id = p.business_id AND s.pay_schedule_id = p.pay_schedule_id
        WHERE p.business_id = tenant_mgmt.current_business_id() AND p.pay_period_id = period
    ), day AS (
        SELECT x.starts_on + n AS day, x.periods, count(*) OVER () AS working_days
        FROM span AS x
        CROSS JOIN generate_series(0, x.ends_on - x.starts_on) AS n
        WHERE extract(isodow FROM x.starts_on + n) < 6
    ), salary AS (
        -- A salary by the working days of the period on which it held.
        SELECT a.job_assignment_id, a.department_id, a.work_location_id, a.standard_hours_weekly,
               r.annualized_amount, d.periods, count(*)::numeric / d.working_days AS share
        FROM day AS d
        JOIN payroll.job_assignment AS a
            ON a.business_id = tenant_mgmt.current_business_id() AND a.employee_id = employee
           AND daterange(a.effective_from, a.effective_until) @> d.day
        JOIN payroll.compensation_rate AS r
            ON r.business_id = a.business_id AND r.job_assignment_id = a.job_assignment_id
           AND r.pay_basis = 'salary' AND daterange(r.effective_from, r.effective_until) @> d.day
        WHERE EXISTS (
            SELECT
            FROM payroll.employment_spell AS s
            WHERE s.business_id = a.business_id AND s.employee_id = a.employee_id
              AND daterange(s.hired_on, s.terminated_on, '[]') @> d.day)
        GROUP BY a.job_assignment_id, a.department_id, a.work_location_id,
                 a.standard_hours_weekly, r.annualized_amount, d.periods, d.working_days
    ), entry AS (
        SELECT e.work_date, e.hours, e.entry_kind, e.piece_count, e.project_code,
               e.earning_code_id, e.job_assignment_id, a.work_location_id,
               coalesce(e.department_id, a.department_id) AS department_id, r.pay_basis,
               e.entry_kind IN ('overtime', 'doubletime') AS is_overtime,
               greatest(c.multiplier, CASE e.entry_kind
                   WHEN 'overtime' THEN o.overtime_multiplier
                   WHEN 'doubletime' THEN o.doubletime_multiplier END) AS multiplier,
               coalesce(e.rate_override_amount, payroll.unit_rate(
                   r.pay_basis, r.rate_amount, r.annualized_amount, a.standard_hours_weekly), 0)
                   AS rate,
               e.work_date - (extract(dow FROM e.work_date)::integer + CASE w.workweek_starts_on
                   WHEN 'monday' THEN 6 WHEN 'saturday' THEN 1 ELSE 0 END) % 7 AS week
        FROM span AS x
        JOIN payroll.timesheet AS t
            ON t.business_id = tenant_mgmt.current_business_id() AND t.employee_id = employee
           AND t.pay_period_id = period AND t.status IN ('approved', 'locked')
        JOIN payroll.timesheet_entry AS e
            ON e.business_id = t.business_id AND e.timesheet_id = t.timesheet_id
        JOIN payroll.earning_code AS c
            ON c.business_id = e.business_id AND c.earning_code_id = e.earning_code_id
        JOIN payroll.job_assignment AS a
            ON a.business_id = e.business_id AND a.job_assignment_id = e.job_assignment_id
        LEFT JOIN payroll.work_schedule AS w
            ON w.business_id = a.business_id AND w.work_schedule_id = a.work_schedule_id
        LEFT JOIN payroll.overtime_rule AS o
            ON o.business_id = e.business_id AND o.overtime_rule_id = e.overtime_rule_id
        LEFT JOIN payroll.compensation_rate AS r
            ON r.business_id = e.business_id AND r.job_assignment_id = e.job_assignment_id
           AND daterange(r.effective_from, r.effective_until) @> e.work_date
    ), week AS MATERIALIZED (
        SELECT d.week, payroll.regular_rate(employee, d.week) AS regular_rate
        FROM (SELECT DISTINCT y.week FROM entry AS y WHERE y.is_overtime) AS d
    ), priced AS (
        SELECT y.*, CASE WHEN y.is_overtime AND y.pay_basis IS DISTINCT FROM 'piece'
                         THEN w.regular_rate END AS regular_rate,
               round(CASE
                   WHEN y.is_overtime
                   -- The pieces of an overtime hour are paid as pieces; it adds the half.
                   THEN w.regular_rate * (y.multiplier
                                          - CASE WHEN y.pay_basis = 'piece' THEN 1 ELSE 0 END)
                   WHEN y.pay_basis = 'commission_only' THEN 0
                   ELSE y.rate * y.multiplier END, 6) AS paid_rate
        FROM entry AS y
        LEFT JOIN week AS w ON w.week = y.week
    )
    SELECT c.earning_code_id, s.job_assignment_id, s.department_id, s.work_location_id,
           round(s.standard_hours_weekly * 52 / s.periods * s.share, 4), NULL::numeric,
           NULL::numeric, NULL::numeric, round(s.annualized_amount / s.periods * s.share, 2),
           NULL::text, false
    FROM salary AS s
    JOIN payroll.earning_code AS c
        ON c.business_id = tenant_mgmt.current_business_id() AND c.earning_kind = 'regular'
       AND c.is_default
    UNION ALL
    SELECT p.earning_code_id, p.job_assignment_id, p.department_id, p.work_location_id,
           sum(p.hours), p.paid_rate, p.regular_rate, NULL,
           round(sum(p.hours) * p.paid_rate, 2), p.project_code::text, p.is_overtime
    FROM priced AS p
    WHERE p.is_overtime
       OR coalesce(p.pay_basis, 'hourly') NOT IN ('salary', 'piece', 'day_rate')
    GROUP BY p.earning_code_id, p.job_assignment_id, p.department_id, p.work_location_id,
             p.paid_rate, p.regular_rate, p.project_code, p.is_overtime
    UNION ALL
    SELECT p.earning_code_id, p.job_assignment_id, p.department_id, p.work_location_id,
           sum(p.hours), p.paid_rate, NULL, u.units, round(u.units * p.paid_rate, 2),
           p.project_code::text, false
    FROM (
        SELECT q.earning_code_id, q.job_assignment_id, q.department_id, q.work_location_id,
               q.paid_rate, q.project_code, sum(q.hours) AS hours, q.pay_basis,
               sum(coalesce(q.piece_count, 0))::numeric AS pieces,
               count(DISTINCT q.work_date)::numeric AS days
        FROM priced AS q
        WHERE q.pay_basis IN ('piece', 'day_rate') AND NOT q.is_overtime
        GROUP BY q.earning_code_id, q.job_assignment_id, q.department_id, q.work_location_id,
                 q.paid_rate, q.project_code, q.pay_basis
    ) AS p
    CROSS JOIN LATERAL (
        SELECT CASE p.pay_basis WHEN 'piece' THEN p.pieces ELSE p.days END AS units
    ) AS u
    GROUP BY p.earning_code_id, p.job_assignment_id, p.department_id, p.work_location_id,
             p.paid_rate, p.project_code, u.units;
END
$$;
COMMENT ON FUNCTION payroll.time_pay(uuid, uuid) IS
    'What the time of an employee of the calling tenant in a pay period is worth today: salaries by
     working days, approved hours at their rates, overtime as a multiple of the regular rate of its
     workweek, pieces and days.';


CREATE FUNCTION payroll.taxing_jurisdictions(employee uuid, place uuid, day date)
    RETURNS TABLE (tax_jurisdiction_id uuid, code text, level text, is_work boolean,
                   is_home boolean, taxes_income boolean, credits_work_state boolean)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH work AS (
        SELECT l.state_code, l.county, l.municipality, l.school_district_code
        FROM payroll.work_location AS l
        WHERE l.business_id = tenant_mgmt.current_business_id() AND l.work_location_id = place
    ), home AS (
        SELECT r.state_code, r.county, r.municipality, r.school_district_code, r.psd_code
        FROM payroll.employee_residence AS r
        WHERE r.business_id = tenant_mgmt.current_business_id() AND r.employee_id = employee
          AND daterange(r.effective_from, r.effective_until) @> day
        UNION ALL
        -- Who told no home is taken to live where they work.
        SELECT w.state_code, NULL, NULL, NULL, NULL
        FROM work AS w
        WHERE NOT EXISTS (
            SELECT
            FROM payroll.employee_residence AS r
            WHERE r.business_id = tenant_mgmt.current_business_id() AND r.employee_id = employee
              AND daterange(r.effective_from, r.effective_until) @> day)
        LIMIT 1
    ), placed AS (
        SELECT j.*, CASE 'state' WHEN j.level THEN j.code WHEN a.level THEN a.code
                                 WHEN b.level THEN b.code WHEN c.level THEN c.code END AS state,
               a.code AS parent_code
        FROM payroll.tax_jurisdiction AS j
        LEFT JOIN payroll.tax_jurisdiction AS a
            ON a.business_id = j.business_id AND a.tax_jurisdiction_id = j.parent_jurisdiction_id
        LEFT JOIN payroll.tax_jurisdiction AS b
            ON b.business_id = j.business_id AND b.tax_jurisdiction_id = a.parent_jurisdiction_id
        LEFT JOIN payroll.tax_jurisdiction AS c
            ON c.business_id = j.business_id AND c.tax_jurisdiction_id = b.parent_jurisdiction_id
        WHERE j.business_id = tenant_mgmt.current_business_id() AND j.effective_from <= day
    ), found AS (
        SELECT p.*, w.state_code AS work_state, h.state_code AS home_state,
               p.level = 'federal' OR coalesce(p.state = w.state_code AND CASE p.level
                   WHEN 'state' THEN true
                   WHEN 'county' THEN p.name = w.county
                   WHEN 'city' THEN p.name = w.municipality
                   WHEN 'school_district' THEN p.code = w.school_district_code
                   ELSE p.name IN (w.municipality, w.county) OR p.parent_code = w.state_code END,
                   false) AS works_there,
               p.level = 'federal' OR coalesce(p.state = h.state_code AND CASE p.level
                   WHEN 'state' THEN true
                   WHEN 'county' THEN p.name = h.county
                   WHEN 'city' THEN p.psd_code = h.psd_code OR p.name = h.municipality
                   WHEN 'school_district' THEN p.code = h.school_district_code
                   ELSE false END, false) AS lives_there
        FROM placed AS p
        CROSS JOIN work AS w
        CROSS JOIN home AS h
    ), agreed AS (
        -- What the two states agreed on, where a certificate is on file if it needs one.
        SELECT r.agreement_kind, r.withhold_for, r.threshold_days
        FROM payroll.tax_reciprocity AS r
        JOIN found AS w
            ON w.tax_jurisdiction_id = r.work_jurisdiction_id AND w.level = 'state'
           AND w.works_there
        JOIN found AS h
            ON h.tax_jurisdiction_id = r.resident_jurisdiction_id AND h.level = 'state'
           AND h.lives_there
        WHERE r.business_id = tenant_mgmt.current_business_id()
          AND daterange(r.effective_from, r.effective_until) @> day
          AND (r.certificate_form IS NULL
               OR coalesce((payroll.election_of(employee, w.tax_jurisdiction_id, day)
                            ->> 'is_exempt')::boolean, false))
        LIMIT 1
    )
    SELECT f.tax_jurisdiction_id, f.code, f.level, f.works_there, f.lives_there,
           CASE
               WHEN f.level = 'federal' THEN true
               WHEN f.level = 'state' AND f.works_there AND f.lives_there THEN f.taxes_residents
               WHEN f.level = 'state' AND f.works_there
               THEN f.taxes_nonresidents AND coalesce(a.withhold_for <> 'resident', true)
                    AND (coalesce(a.threshold_days, 0) = 0 OR a.threshold_days < (
                        SELECT count(DISTINCT e.work_date)
                        FROM payroll.timesheet AS t
                        JOIN payroll.timesheet_entry AS e
                            ON e.business_id = t.business_id AND e.timesheet_id = t.timesheet_id
                        JOIN payroll.job_assignment AS g
                            ON g.business_id = e.business_id
                           AND g.job_assignment_id = e.job_assignment_id
                        JOIN payroll.work_location AS l
                            ON l.business_id = g.business_id
                           AND l.work_location_id = g.work_location_id
                           AND l.state_code = f.work_state
                        WHERE t.business_id = f.business_id AND t.employee_id = employee
                          AND e.work_date <= day
                          AND e.work_date >= date_trunc('year', day)::date))
               WHEN f.level = 'state'
               THEN f.taxes_residents AND coalesce(a.withhold_for <> 'work',
                                                   f.courtesy_withholding)
               WHEN f.works_there
               THEN (f.lives_there AND f.taxes_residents) OR f.taxes_nonresidents
               ELSE f.taxes_residents
                    AND (f.home_state = f.work_state OR f.courtesy_withholding) END,
           f.level = 'state' AND NOT f.works_there
           AND coalesce(a.agreement_kind <> 'full', true)
    FROM found AS f
    LEFT JOIN agreed AS a ON true
    WHERE f.works_there OR f.lives_there;
END;
COMMENT ON FUNCTION payroll.taxing_jurisdictions(uuid, uuid, date) IS
    'Who taxes what an employee of the calling tenant earns at a place on a day: as work and as
     home; whether it withholds income tax, by what two states agreed on, and whether the home
     credits what the work state takes.';


CREATE FUNCTION payroll.year_to_date(
    employee uuid,
    employer uuid,
    year     integer,
    kinds    text[] DEFAULT '{earning,hours,deduction,tax,taxable_wage}'
) RETURNS jsonb
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT coalesce(jsonb_object_agg(
                   concat_ws(' ', y.item_kind, y.item_code, y.jurisdiction_code), y.amount_ytd),
                   '{}')
        FROM (
            SELECT DISTINCT ON (x.item_kind, x.item_code, x.jurisdiction_code)
                   x.item_kind, x.item_code, x.jurisdiction_code, x.amount_ytd
            FROM payroll.ytd_accumulator AS x
            WHERE x.business_id = tenant_mgmt.current_business_id() AND x.employee_id = employee
              -- Found by the employee: an index by employer and year would read all of theirs.
              AND x.employer_entity_id IS NOT DISTINCT FROM employer AND x.tax_year = year
              AND x.item_kind = ANY (kinds)
            ORDER BY x.item_kind, x.item_code, x.jurisdiction_code, x.quarter_no DESC
        ) AS y);
END
$$;
COMMENT ON FUNCTION payroll.year_to_date(uuid, uuid, integer, text[]) IS
    'What counts in a year for an employee of the calling tenant: {"kind code jurisdiction":
     amount}. Of the kinds that the caller needs.';

CREATE FUNCTION payroll.tax_lines(
    employee  uuid,
    employer  uuid,
    place     uuid,
    day       date,
    frequency text,
    wages     jsonb
) RETURNS TABLE (tax_code_id uuid, tax_jurisdiction_id uuid, tax_rate_version_id uuid, code text,
                 tax_kind text, payer text, subject_wages numeric, taxable_wages numeric,
                 tax_amount numeric, ytd_taxable numeric, method text, rate numeric,
                 additional_amount numeric, trace jsonb, problem text)
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenant   CONSTANT uuid    := tenant_mgmt.current_business_id();
    periods  CONSTANT integer := payroll.pay_periods_a_year(frequency);
    ytd      CONSTANT jsonb   := payroll.year_to_date(
        employee, employer, extract(year FROM day)::integer, '{earning,tax,taxable_wage}');
    work_tax numeric := 0;
    levied   record;
    version  payroll.tax_rate_version;
    account  payroll.employer_tax_account;
    election jsonb;
    usual    numeric;
    extra    numeric;
    former   numeric;
    above    numeric;
    bonuses  numeric;
    item     text;
BEGIN
    FOR levied IN
        SELECT c.*, j.code AS place_code, j.level, j.is_work, j.credits_work_state,
               x.supplemental_rate
        FROM payroll.taxing_jurisdictions(employee, place, day) AS j
        JOIN payroll.tax_jurisdiction AS x
            ON x.business_id = tenant AND x.tax_jurisdiction_id = j.tax_jurisdiction_id
        JOIN payroll.tax_code AS c
            ON c.business_id = tenant AND c.tax_jurisdiction_id = j.tax_jurisdiction_id
        WHERE CASE WHEN c.tax_kind IN ('income', 'local_income') THEN j.taxes_income
                   ELSE j.is_work END
        -- The work state goes before the home, which may credit its tax.
        ORDER BY j.level <> 'federal', NOT j.is_work, j.level <> 'state', c.code
    LOOP
        tax_code_id := levied.tax_code_id;
        tax_jurisdiction_id := levied.tax_jurisdiction_id;
        code := levied.code;
        tax_kind := levied.tax_kind;
        SELECT v.* INTO version
        FROM payroll.tax_rate_version AS v
        WHERE v.business_id = tenant AND v.tax_code_id = levied.tax_code_id
          AND daterange(v.effective_from, v.effective_until) @> day;
        tax_rate_version_id := version.tax_rate_version_id;
        IF NOT FOUND THEN
            problem := format('no table of tax %s for %s', levied.code, day);
            RETURN NEXT;
            problem := NULL;
            CONTINUE;
        END IF;

        -- The wages that this tax looks at.
        item := concat_ws(' ', levied.code, levied.place_code);
        extra := 0;
        IF levied.tax_kind = 'income' AND levied.level = 'federal' THEN
            usual := (wages ->> 'federal')::numeric;
            extra := (wages ->> 'federal_supplemental')::numeric;
        ELSIF levied.tax_kind IN ('income', 'local_income') THEN
            usual := (wages ->> 'state')::numeric
                + CASE WHEN (version.parameters ->> 'taxes_deferrals')::boolean
                       THEN (wages ->> 'deferrals')::numeric ELSE 0 END
                + CASE WHEN (version.parameters ->> 'taxes_section_125')::boolean
                       THEN (wages ->> 'section_125')::numeric ELSE 0 END;
            extra := (wages ->> 'state_supplemental')::numeric;
        ELSIF levied.tax_kind IN ('medicare', 'additional_medicare') THEN
            usual := (wages ->> 'medicare')::numeric;
        ELSE
            usual := (wages ->> 'social_security')::numeric;
        END IF;
        subject_wages := greatest(usual + extra, 0);

        -- What of them lies within the base of the year.
        former := coalesce((ytd ->> ('taxable_wage ' || item))::numeric, 0);
        above := (version.parameters ->> 'wages_above')::numeric;
        IF above IS NOT NULL THEN
            SELECT coalesce(sum((ytd ->> concat_ws(' ', 'taxable_wage', c.code,
                                                   levied.place_code))::numeric), 0)
            INTO bonuses
            FROM payroll.tax_code AS c
            WHERE c.business_id = tenant AND c.tax_kind = 'medicare'
              AND c.tax_jurisdiction_id = levied.tax_jurisdiction_id;
            taxable_wages := greatest(bonuses + subject_wages - above, 0)
                             - greatest(bonuses - above, 0);
        ELSE
            taxable_wages := greatest(least(subject_wages, coalesce(
                coalesce(version.wage_base_amount, levied.wage_base_amount) - former,
                subject_wages)), 0);
        END IF;
        ytd_taxable := former + taxable_wages;

        FOREACH payer IN ARRAY CASE levied.payer WHEN 'both' THEN ARRAY['employee', 'employer']
                                                 ELSE ARRAY[levied.payer] END
        LOOP
            account := NULL;
            method := 'percentage';
            additional_amount := 0;
            rate := CASE payer WHEN 'employee' THEN version.rate ELSE version.employer_rate END;
            trace := jsonb_build_array(
                jsonb_build_object('step', 'wages subject to ' || levied.name,
                                   'amount', subject_wages),
                jsonb_build_object('step', 'of them taxable', 'amount', taxable_wages));
            IF payer = 'employer' THEN
                SELECT a.* INTO account
                FROM payroll.employer_tax_account AS a
                WHERE a.business_id = tenant AND a.employer_entity_id = employer
                  AND a.tax_jurisdiction_id = levied.tax_jurisdiction_id
                  AND coalesce(a.tax_code_id = levied.tax_code_id, true)
                  AND a.status <> 'closed'
                ORDER BY a.tax_code_id IS NULL, a.employer_tax_account_id
                LIMIT 1;
                IF account.status = 'exempt' OR account.is_reimbursable_employer THEN
                    CONTINUE;
                END IF;
                IF levied.is_experience_rated THEN
                    IF account.experience_rate IS NULL OR account.experience_rate_from > day THEN
                        problem := format('the employer has no rate for tax %s', levied.code);
                        tax_amount := 0;
                        RETURN NEXT;
                        problem := NULL;
                        CONTINUE;
                    END IF;
                    rate := account.experience_rate;
                END IF;
            END IF;

            IF levied.tax_kind IN ('income', 'local_income') THEN
                election := coalesce(payroll.election_of(employee, levied.tax_jurisdiction_id,
                                                         day), '{}');
                IF (election ->> 'is_exempt')::boolean THEN
                    method := 'exempt';
                    tax_amount := 0;
                ELSE
                    bonuses := NULL;
                    IF extra > 0 AND levied.supplemental_rate IS NOT NULL THEN
                        -- Bonuses of the year beyond the limit go at their own rate.
                        above := (version.parameters ->> 'supplemental_over')::numeric;
                        SELECT coalesce(sum((ytd ->> ('earning ' || e.code))::numeric), 0)
                        INTO former
                        FROM payroll.earning_code AS e
                        WHERE e.business_id = tenant AND e.is_supplemental AND above IS NOT NULL;
                        former := greatest(former + extra - coalesce(above, former + extra), 0)
                                  - greatest(former - coalesce(above, former), 0);
                        bonuses := round((extra - former) * levied.supplemental_rate + former
                            * coalesce((version.parameters
                                        ->> 'supplemental_over_rate')::numeric, 0), 2);
                        trace := trace || jsonb_build_object(
                            'step', 'supplemental wages at a flat rate', 'amount', bonuses);
                    END IF;
                    IF bonuses IS NULL OR usual > 0 THEN
                        tax_amount := payroll.income_withholding(
                            version.tax_rate_version_id,
                            greatest(usual + CASE WHEN bonuses IS NULL THEN extra ELSE 0 END, 0),
                            frequency, election);
                        additional_amount := coalesce(
                            (election ->> 'extra_withholding_amount')::numeric, 0);
                        trace := trace || jsonb_build_object(
                            'step', format('by the table for %s, %s a year',
                                           coalesce(election ->> 'filing_status', 'single'),
                                           periods),
                            'amount', tax_amount);
                    ELSE
                        tax_amount := 0;
                    END IF;
                    method := CASE WHEN bonuses IS NOT NULL AND usual <= 0 THEN 'supplemental_flat'
                                   WHEN extra > 0 AND bonuses IS NULL THEN 'aggregate'
                                   WHEN version.formula = 'table' THEN 'wage_bracket'
                                   ELSE 'percentage' END;
                    tax_amount := tax_amount + coalesce(bonuses, 0);
                END IF;
                IF levied.credits_work_state AND levied.level = 'state' THEN
                    tax_amount := greatest(tax_amount - work_tax, 0);
                    trace := trace || jsonb_build_object('step', 'less the tax of the work state',
                                                         'amount', -work_tax);
                ELSIF levied.level = 'state' AND levied.is_work THEN
                    work_tax := work_tax + tax_amount;
                END IF;
            ELSIF version.formula = 'fixed_amount' THEN
                -- What of it the pay, quarter or year still owes.
                tax_amount := CASE WHEN subject_wages <= 0 THEN 0 ELSE greatest(0,
                    (version.parameters ->> 'amount')::numeric - CASE levied.frequency
                        WHEN 'per_check' THEN 0
                        ELSE coalesce((ytd ->> ('tax ' || concat_ws(' ',
                            levied.code || CASE payer WHEN 'employer' THEN ':employer'
                                                      ELSE '' END,
                            levied.place_code)))::numeric, 0)
                             - CASE levied.frequency WHEN 'quarterly'
                                   THEN (version.parameters ->> 'amount')::numeric
                                        * (extract(quarter FROM day) - 1)
                                   ELSE 0 END END) END;
            ELSIF version.formula = 'flat' THEN
                tax_amount := taxable_wages * rate;
            ELSE
                tax_amount := payroll.bracket_tax(version.tax_rate_version_id, 'any', false,
                                                  'annual', taxable_wages * periods) / periods;
            END IF;
            IF levied.annual_max_tax_amount IS NOT NULL THEN
                tax_amount := greatest(0, least(tax_amount, levied.annual_max_tax_amount
                    - coalesce((ytd ->> ('tax ' || concat_ws(' ',
                        levied.code || CASE payer WHEN 'employer' THEN ':employer' ELSE '' END,
                        levied.place_code)))::numeric, 0)));
            END IF;
            tax_amount := round(tax_amount, CASE levied.rounding WHEN 'dollar' THEN 0 ELSE 2 END);
            trace := trace || jsonb_build_object('step', 'tax', 'amount', tax_amount);
            RETURN NEXT;
        END LOOP;
    END LOOP;
END
$$;
COMMENT ON FUNCTION payroll.tax_lines(uuid, uuid, uuid, date, text, jsonb) IS
    'The taxes of an employee of the calling tenant on wages of a pay, by who pays them, without
     writing anything. Wages: {"federal", "federal_supplemental", "social_security", "medicare",
     "state", "state_supplemental", "section_125", "deferrals"}. A problem is a tax that cannot be
     calculated: a table or a rate of the employer is missing.';


CREATE FUNCTION payroll.taxed_wages(paycheck uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        WITH earned AS (
            SELECT coalesce(sum(e.amount) FILTER (WHERE c.taxable_federal
                                                    AND NOT c.is_supplemental), 0) AS federal,
                   coalesce(sum(e.amount) FILTER (WHERE c.taxable_federal
                                                    AND c.is_supplemental), 0) AS federal_extra,
                   coalesce(sum(e.amount) FILTER (WHERE c.taxable_state
                                                    AND NOT c.is_supplemental), 0) AS state,
                   coalesce(sum(e.amount) FILTER (WHERE c.taxable_state
                                                    AND c.is_supplemental), 0) AS state_extra,
                   coalesce(sum(e.amount) FILTER (WHERE c.taxable_social_security), 0) AS fica,
                   coalesce(sum(e.amount) FILTER (WHERE c.taxable_medicare), 0) AS medicare,
                   coalesce(sum(e.amount) FILTER (WHERE c.earning_kind <> 'reimbursement'), 0)
                       AS gross
            FROM payroll.paycheck_earning AS e
            JOIN payroll.earning_code AS c
                ON c.business_id = e.business_id AND c.earning_code_id = e.earning_code_id
            WHERE e.business_id = tenant_mgmt.current_business_id() AND e.paycheck_id = paycheck
        ), taken AS (
            SELECT coalesce(sum(d.employee_amount) FILTER (
                       WHERE c.tax_treatment = 'section_125'), 0) AS cafeteria,
                   coalesce(sum(d.employee_amount) FILTER (
                       WHERE c.tax_treatment = 'deferral_401k'), 0) AS deferral
            FROM payroll.paycheck_deduction AS d
            JOIN payroll.deduction_code AS c
                ON c.business_id = d.business_id AND c.deduction_code_id = d.deduction_code_id
            WHERE d.business_id = tenant_mgmt.current_business_id() AND d.paycheck_id = paycheck
              AND d.is_pretax
        )
        -- Deductions lower the usual wages first, and bonuses where these do not suffice.
        SELECT jsonb_build_object(
            'gross', greatest(e.gross, 0),
            'federal', greatest(e.federal - t.cafeteria - t.deferral, 0),
            'federal_supplemental',
            greatest(e.federal_extra + least(e.federal - t.cafeteria - t.deferral, 0), 0),
            'state', greatest(e.state - t.cafeteria - t.deferral, 0),
            'state_supplemental',
            greatest(e.state_extra + least(e.state - t.cafeteria - t.deferral, 0), 0),
            'social_security', greatest(e.fica - t.cafeteria, 0),
            'medicare', greatest(e.medicare - t.cafeteria, 0),
            'section_125', t.cafeteria, 'deferrals', t.deferral)
        FROM earned AS e
        CROSS JOIN taken AS t);
END
$$;
COMMENT ON FUNCTION payroll.taxed_wages(uuid) IS
    'The wages of a paycheck of the calling tenant as taxes look at them, for tax_lines().';

CREATE FUNCTION payroll.calculate_taxes(paycheck uuid)
    RETURNS TABLE (code text, payer text, tax_amount numeric, problem text)
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid  := tenant_mgmt.current_business_id();
    wages  CONSTANT jsonb := payroll.taxed_wages(paycheck);
BEGIN
    DELETE FROM payroll.paycheck_tax AS t
    WHERE t.business_id = tenant AND t.paycheck_id = paycheck;
    RETURN QUERY
    WITH line AS MATERIALIZED (
        SELECT l.*
        FROM payroll.paycheck AS p
        JOIN payroll.pay_run AS r
            ON r.business_id = p.business_id AND r.pay_run_id = p.pay_run_id
        JOIN payroll.pay_schedule AS s
            ON s.business_id = r.business_id AND s.pay_schedule_id = r.pay_schedule_id
        CROSS JOIN LATERAL payroll.tax_lines(
            p.employee_id, r.employer_entity_id, payroll.work_place(p.employee_id, p.check_date),
            p.check_date, s.frequency, wages) AS l
        WHERE p.business_id = tenant AND p.paycheck_id = paycheck
    ), written AS (
        INSERT INTO payroll.paycheck_tax
            (business_id, paycheck_id, tax_code_id, tax_jurisdiction_id, tax_rate_version_id,
             payer, gross_wages_amount, subject_wages_amount, taxable_wages_amount, tax_amount,
             ytd_taxable_amount, method, rate, additional_amount, calculation_trace, created_at,
             updated_at)
        SELECT tenant, paycheck, l.tax_code_id, l.tax_jurisdiction_id, l.tax_rate_version_id,
               l.payer, (wages ->> 'gross')::numeric, l.subject_wages, l.taxable_wages,
               l.tax_amount, l.ytd_taxable, l.method, l.rate, l.additional_amount, l.trace, now(),
               now()
        FROM line AS l
        WHERE l.problem IS NULL AND (l.subject_wages > 0 OR l.tax_amount > 0)
        ORDER BY l.code, l.payer DESC
    )
    SELECT l.code, l.payer, l.tax_amount, l.problem
    FROM line AS l;
END
$$;
COMMENT ON FUNCTION payroll.calculate_taxes(uuid) IS
    'Writes the tax lines of a draft paycheck of the calling tenant anew from its earnings and its
     deductions before tax: jurisdictions of work and home, agreements between states, wage bases
     and limits of the year.';

CREATE FUNCTION payroll.work_place(employee uuid, day date) RETURNS uuid
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce((
        SELECT a.work_location_id
        FROM payroll.job_assignment AS a
        WHERE a.business_id = tenant_mgmt.current_business_id() AND a.employee_id = employee
          AND a.effective_from <= day
        -- After the last day it is still the place of the last job.
        ORDER BY daterange(a.effective_from, a.effective_until) @> day DESC, a.is_primary DESC,
                 a.effective_from DESC, a.job_assignment_id
        LIMIT 1), (
        SELECT e.primary_work_location_id
        FROM payroll.employee AS e
        WHERE e.business_id = tenant_mgmt.current_business_id() AND e.employee_id = employee));
END
$$;
COMMENT ON FUNCTION payroll.work_place(uuid, date) IS
    'The place of the primary job of an employee of the calling tenant on a day.';

CREATE FUNCTION payroll.primary_rate(employee uuid, day date) RETURNS numeric
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT payroll.rate_on(a.job_assignment_id, least(day, a.effective_until - 1))
        FROM payroll.job_assignment AS a
        WHERE a.business_id = tenant_mgmt.current_business_id() AND a.employee_id = employee
          AND a.effective_from <= day
        ORDER BY daterange(a.effective_from, a.effective_until) @> day DESC, a.is_primary DESC,
                 a.effective_from DESC, a.job_assignment_id
        LIMIT 1);
END
$$;
COMMENT ON FUNCTION payroll.primary_rate(uuid, date) IS
    'What an hour of the primary job of an employee of the calling tenant pays on a day.';

CREATE FUNCTION payroll.gross_up(net_amount numeric, employee uuid, check_date date)
    RETURNS numeric
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    place  CONSTANT uuid := payroll.work_place(employee, check_date);
    paid   record;
    gross  numeric := net_amount;
    taxes  numeric;
BEGIN
    SELECT s.employer_entity_id, s.frequency INTO paid
    FROM payroll.employee AS e
    JOIN payroll.pay_schedule AS s
        ON s.business_id = e.business_id AND s.employer_entity_id = e.employer_entity_id
       AND s.is_active
    WHERE e.business_id = tenant AND e.employee_id = employee
    ORDER BY s.pay_group = 'everybody' DESC, s.pay_group, s.code
    LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no active schedule pays this employee' USING ERRCODE = 'no_data_found';
    END IF;
    -- A tax takes less than all of the next dollar, so each round comes nearer.
    FOR attempt IN 1 .. 200 LOOP
        SELECT coalesce(sum(l.tax_amount), 0) INTO taxes
        FROM payroll.tax_lines(employee, paid.employer_entity_id, place, check_date,
                               paid.frequency, jsonb_build_object(
                                   'federal', 0, 'federal_supplemental', gross,
                                   'social_security', gross, 'medicare', gross, 'state', 0,
                                   'state_supplemental', gross, 'section_125', 0,
                                   'deferrals', 0)) AS l
        WHERE l.payer = 'employee';
        EXIT WHEN gross - taxes = net_amount;
        gross := gross + (net_amount - (gross - taxes));
    END LOOP;
    RETURN gross;
END
$$;
COMMENT ON FUNCTION payroll.gross_up(numeric, uuid, date) IS
    'The gross bonus that leaves an employee of the calling tenant the wanted net after the taxes of
     a pay that holds nothing else. Where rounding skips the net, the nearest above or below.';


CREATE FUNCTION payroll.disposable_earnings(paycheck uuid) RETURNS numeric
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN greatest(0, (
        SELECT coalesce(sum(e.amount), 0)
        FROM payroll.paycheck_earning AS e
        JOIN payroll.earning_code AS c
            ON c.business_id = e.business_id AND c.earning_code_id = e.earning_code_id
        WHERE e.business_id = tenant_mgmt.current_business_id() AND e.paycheck_id = paycheck
          AND NOT e.is_imputed AND c.earning_kind <> 'reimbursement')
        - (
        SELECT coalesce(sum(t.tax_amount), 0)
        FROM payroll.paycheck_tax AS t
        WHERE t.business_id = tenant_mgmt.current_business_id() AND t.paycheck_id = paycheck
          AND t.payer = 'employee'));
END
$$;
COMMENT ON FUNCTION payroll.disposable_earnings(uuid) IS
    'What a paycheck of the calling tenant pays for work after the taxes that the law takes; what
     the employee chose to have deducted does not lower it.';

CREATE FUNCTION payroll.garnishment_amounts(paycheck uuid)
    RETURNS TABLE (order_id uuid, amount numeric, limit_applied text)
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenant     CONSTANT uuid    := tenant_mgmt.current_business_id();
    disposable CONSTANT numeric := payroll.disposable_earnings(paycheck);
    taken      numeric := 0;
    wanted     numeric;
    due        record;
BEGIN
    FOR due IN
        SELECT o.*, r.run_kind,
               min(o.received_on) FILTER (
                   WHERE o.order_kind IN ('child_support', 'spousal_support')) OVER ()
                   AS support_since
        FROM payroll.paycheck AS p
        JOIN payroll.pay_run AS r
            ON r.business_id = p.business_id AND r.pay_run_id = p.pay_run_id
        JOIN payroll.garnishment_order AS o
            ON o.business_id = p.business_id AND o.employee_id = p.employee_id
           AND o.status = 'active' AND o.effective_on <= p.check_date
        WHERE p.business_id = tenant AND p.paycheck_id = paycheck
        ORDER BY payroll.garnishment_rank(o.order_kind, o.received_on, min(o.received_on) FILTER (
                     WHERE o.order_kind IN ('child_support', 'spousal_support')) OVER ()),
                 o.priority, o.received_on, o.case_number
    LOOP
        -- An amount is of a regular pay; a share is of whatever is paid.
        wanted := CASE
            WHEN due.withholding_percent IS NOT NULL
            THEN round(disposable * due.withholding_percent / 100, 2)
            WHEN due.withholding_amount IS NULL THEN disposable
            WHEN due.run_kind IN ('regular', 'termination') THEN due.withholding_amount
            ELSE 0 END;
        wanted := least(wanted, due.total_owed_amount - due.withheld_to_date_amount);
        order_id := due.garnishment_order_id;
        amount := greatest(0, least(
            wanted, trunc(disposable * coalesce(due.max_percent_disposable, 100) / 100, 2) - taken,
            disposable - due.exempt_amount - taken));
        limit_applied := CASE WHEN amount < wanted THEN 'disposable_earnings' ELSE 'none' END;
        taken := taken + amount;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION payroll.garnishment_amounts(uuid) IS
    'What each order in force takes of a paycheck of the calling tenant, in the order of their rank
     and priority: at most its share of the disposable earnings with all that goes before it, and
     never what it leaves the employee.';


CREATE FUNCTION payroll.take_deductions(paycheck uuid, before_tax boolean, room numeric)
    RETURNS numeric
    LANGUAGE plpgsql AS $$
DECLARE
    tenant     CONSTANT uuid := tenant_mgmt.current_business_id();
    ytd        jsonb;
    disposable numeric;
    pay        record;
    due        record;
    basis      numeric;
    wanted     numeric;
    former     numeric;
    arrears    numeric;
    allowed    numeric;
    amount     numeric;
    reached    text;
    total      numeric := 0;
    line       integer;
BEGIN
    DELETE FROM payroll.paycheck_deduction AS d
    USING payroll.deduction_code AS c
    WHERE d.business_id = tenant AND d.paycheck_id = paycheck
      AND c.business_id = tenant AND c.deduction_code_id = d.deduction_code_id
      AND (c.tax_treatment IN ('section_125', 'deferral_401k')) = before_tax;
    SELECT coalesce(max(d.line_no), 0) INTO line
    FROM payroll.paycheck_deduction AS d
    WHERE d.business_id = tenant AND d.paycheck_id = paycheck;
    IF NOT before_tax THEN
        disposable := payroll.disposable_earnings(paycheck);
    END IF;
    SELECT p.employee_id, p.check_date, r.employer_entity_id, r.run_kind, e.birth_date,
           extract(year FROM p.check_date)::integer AS year,
           (SELECT count(*) FROM payroll.pay_period AS x
            WHERE x.business_id = tenant AND x.pay_schedule_id = r.pay_schedule_id
              AND x.check_date <= p.check_date
              AND x.check_date >= date_trunc('month', p.check_date)::date) AS check_of_month,
           x.gross, x.plan_wages, x.hours_worked
    INTO pay
    FROM (
        SELECT coalesce(sum(y.amount) FILTER (WHERE c.earning_kind <> 'reimbursement'
                                                AND NOT y.is_imputed), 0) AS gross,
               coalesce(sum(y.amount) FILTER (WHERE c.counts_for_401k), 0) AS plan_wages,
               coalesce(sum(y.hours) FILTER (WHERE c.earning_kind IN ('regular', 'overtime',
                   'doubletime', 'premium', 'piece') AND y.amount >= 0), 0) AS hours_worked
        FROM payroll.paycheck_earning AS y
        JOIN payroll.earning_code AS c
            ON c.business_id = tenant AND c.earning_code_id = y.earning_code_id
        WHERE y.business_id = tenant AND y.paycheck_id = paycheck
    ) AS x
    CROSS JOIN payroll.paycheck AS p
    JOIN payroll.pay_run AS r ON r.business_id = tenant AND r.pay_run_id = p.pay_run_id
    JOIN payroll.employee AS e ON e.business_id = tenant AND e.employee_id = p.employee_id
    WHERE p.business_id = tenant AND p.paycheck_id = paycheck;
    ytd := payroll.year_to_date(pay.employee_id, pay.employer_entity_id, pay.year,
                                '{deduction}');

    -- Who elects anew just now is waited for: what is due is read once that is there as a whole.
    PERFORM FROM payroll.employee_deduction AS d
    WHERE d.business_id = tenant AND d.employee_id = pay.employee_id
    ORDER BY d.employee_deduction_id
    FOR KEY SHARE;
    FOR due IN
        SELECT d.*, c.code, c.category, c.tax_treatment, c.calculation, c.annual_limit_amount,
               c.catch_up_limit_amount, c.catch_up_from_age, c.arrears_allowed,
               g.amount AS ordered_amount, g.limit_applied
        FROM payroll.employee_deduction AS d
        JOIN payroll.deduction_code AS c
            ON c.business_id = d.business_id AND c.deduction_code_id = d.deduction_code_id
           AND (c.tax_treatment IN ('section_125', 'deferral_401k')) = before_tax
        LEFT JOIN (
            SELECT x.order_id, x.amount, x.limit_applied, row_number() OVER () AS turn
            FROM payroll.garnishment_amounts(paycheck) AS x
            WHERE NOT before_tax
        ) AS g ON g.order_id = d.garnishment_order_id
        WHERE d.business_id = tenant AND d.employee_id = pay.employee_id
          AND daterange(d.effective_from, d.effective_until) @> pay.check_date
          AND (d.garnishment_order_id IS NULL OR g.order_id IS NOT NULL)
          -- A pay beside the regular ones takes shares, not amounts.
          AND (d.garnishment_order_id IS NOT NULL OR pay.run_kind IN ('regular', 'termination')
               OR c.calculation = 'percent_gross')
          AND CASE d.frequency WHEN 'first_two_of_month' THEN pay.check_of_month <= 2
                               WHEN 'monthly' THEN pay.check_of_month = 1
                               ELSE true END
        ORDER BY c.priority, g.turn, c.code, d.effective_from, d.employee_deduction_id
        FOR KEY SHARE OF d  -- an enrollment that is cancelled meanwhile keeps what is taken here
    LOOP
        reached := 'none';
        arrears := 0;
        basis := CASE WHEN due.category IN ('retirement_pretax', 'roth') THEN pay.plan_wages
                      ELSE pay.gross END;
        basis := greatest(basis, 0);
        IF due.garnishment_order_id IS NOT NULL THEN
            wanted := due.ordered_amount;
            reached := due.limit_applied;
            basis := disposable;
        ELSIF due.tax_treatment = 'employer_only' THEN
            wanted := 0;
        ELSE
            wanted := CASE WHEN due.percent IS NOT NULL THEN round(basis * due.percent / 100, 2)
                           WHEN due.calculation = 'per_hour'
                           THEN round(due.amount * pay.hours_worked, 2)
                           ELSE due.amount END;
            wanted := least(wanted, due.goal_amount - due.taken_to_date_amount);
            IF due.arrears_allowed THEN
                arrears := due.arrears_amount;
            END IF;
        END IF;
        -- Plans of one kind share the limit of the year.
        IF due.annual_limit_amount IS NOT NULL THEN
            SELECT coalesce(sum((ytd ->> ('deduction ' || c.code))::numeric), 0)
                   + coalesce((
                       SELECT sum(x.employee_amount)
                       FROM payroll.paycheck_deduction AS x
                       JOIN payroll.deduction_code AS k
                           ON k.business_id = tenant
                          AND k.deduction_code_id = x.deduction_code_id
                       WHERE x.business_id = tenant AND x.paycheck_id = paycheck
                         AND (k.code = due.code
                              OR (k.category IN ('retirement_pretax', 'roth')
                                  AND due.category IN ('retirement_pretax', 'roth')))), 0)
            INTO former
            FROM payroll.deduction_code AS c
            WHERE c.business_id = tenant
              AND (c.code = due.code OR (c.category IN ('retirement_pretax', 'roth')
                                         AND due.category IN ('retirement_pretax', 'roth')));
            allowed := greatest(0, due.annual_limit_amount - former
                + CASE WHEN pay.year - extract(year FROM pay.birth_date) >= due.catch_up_from_age
                       THEN due.catch_up_limit_amount ELSE 0 END);
            IF allowed < wanted + arrears THEN
                reached := 'annual';
                wanted := least(wanted, allowed);
                arrears := least(arrears, allowed - wanted);
            END IF;
        END IF;
        amount := greatest(0, least(wanted + arrears, room));
        IF amount < wanted + arrears THEN
            reached := 'net_pay';
        END IF;
        CONTINUE WHEN wanted + arrears = 0 AND due.employer_amount = 0
                      AND due.employer_percent = 0 AND reached = 'none';
        line := line + 1;
        INSERT INTO payroll.paycheck_deduction
            (business_id, paycheck_id, deduction_code_id, employee_deduction_id, line_no,
             employee_amount, employer_amount, basis_amount, disposable_earnings_amount,
             is_pretax, arrears_recovered_amount, short_amount, limit_hit, ytd_employee_amount,
             created_at, updated_at)
        VALUES
            (tenant, paycheck, due.deduction_code_id, due.employee_deduction_id, line, amount,
             CASE WHEN pay.run_kind IN ('regular', 'termination') THEN due.employer_amount
                  ELSE 0 END + round(basis * due.employer_percent / 100, 2),
             basis, CASE WHEN due.garnishment_order_id IS NOT NULL THEN disposable END,
             before_tax, greatest(0, amount - wanted),
             greatest(0, wanted - amount), reached,
             amount + coalesce((ytd ->> ('deduction ' || due.code))::numeric, 0), now(), now());
        room := room - amount;
        total := total + amount;
    END LOOP;
    RETURN total;
END
$$;
COMMENT ON FUNCTION payroll.take_deductions(uuid, boolean, numeric) IS
    'Writes the deductions of a draft paycheck of the calling tenant anew, those before or those
     after tax, by priority, each out of what the former left of the room; their total.';
