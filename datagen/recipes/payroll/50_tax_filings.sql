SELECT tenant_mgmt.set_tenant(%(business_id)s);

-- Where nobody works but somebody lives, the employer is registered for what it withholds.
INSERT INTO payroll.employer_tax_account
    (business_id, employer_tax_account_id, employer_entity_id, tax_jurisdiction_id, tax_code_id,
     account_number, status, deposit_frequency, filing_frequency, third_party_access_on)
SELECT DISTINCT ON (r.employer_entity_id, c.tax_jurisdiction_id)
       r.business_id, md5(concat_ws(' ', 'account', c.code, r.employer_entity_id))::uuid,
       r.employer_entity_id, c.tax_jurisdiction_id, c.tax_code_id,
       c.code || '-' || lpad((abs(hashtextextended(c.code || r.employer_entity_id, 0))
                              %% 10000000)::text, 7, '0'),
       'active', 'monthly', 'quarterly', %(as_of)s::date - 600
FROM payroll.pay_run AS r
CROSS JOIN LATERAL payroll.owed_taxes(r.pay_run_id) AS o
JOIN payroll.tax_code AS c ON c.business_id = r.business_id AND c.tax_code_id = o.tax_code_id
WHERE r.business_id = %(business_id)s AND o.employer_tax_account_id IS NULL
  AND r.status IN ('paid', 'partially_returned')
ORDER BY r.employer_entity_id, c.tax_jurisdiction_id, c.code;

-- What each run owes, in the order in which they were paid.
SELECT payroll.book_tax_liabilities(r.pay_run_id)
FROM (SELECT x.pay_run_id FROM payroll.pay_run AS x
      WHERE x.business_id = %(business_id)s AND x.status IN ('paid', 'partially_returned')
      ORDER BY x.check_date, x.run_number) AS r;
UPDATE payroll.tax_liability AS l
SET tax_liability_id = md5(concat_ws(' ', 'owed', l.tax_code_id, l.pay_run_id))::uuid
WHERE l.business_id = %(business_id)s;

-- The deposits of all periods that have ended; two in a hundred were forgotten for some days.
CREATE TEMPORARY TABLE planned_deposit ON COMMIT DROP AS
SELECT %(business_id)s::uuid AS business_id, s.*, e.employer_entity_id,
       md5(concat_ws(' ', 'deposit', (s.liabilities)[1]))::uuid AS tax_deposit_id, n.place,
       -- EFTPS wants it the day before.
       CASE WHEN n.place < 2 THEN s.due_on + 3 + n.place * 5
            ELSE payroll.banking_day(s.due_on, -1) END AS settles_on
FROM payroll.employer_entity AS e
CROSS JOIN LATERAL payroll.deposit_schedule(e.employer_entity_id, %(as_of)s::date - 1200,
                                            %(as_of)s::date) AS s
CROSS JOIN LATERAL (
    SELECT (abs(hashtextextended((s.liabilities)[1]::text, 0)) %% 100)::integer AS place
) AS n
WHERE e.business_id = %(business_id)s AND s.period_end < %(as_of)s::date
  AND s.due_on < %(as_of)s::date + 12;

SET LOCAL enable_nestloop = off;  -- the tables of the rest have no statistics yet
INSERT INTO payroll.tax_deposit
    (business_id, tax_deposit_id, employer_tax_account_id, employer_bank_account_id,
     deposit_number, filing_form, due_on, amount, method, period_end)
SELECT d.business_id, d.tax_deposit_id, d.employer_tax_account_id, b.employer_bank_account_id,
       format('TD-%%s-%%s', to_char(d.period_end, 'YYYYMMDD'),
              left(replace(d.tax_deposit_id::text, '-', ''), 10)),
       d.filing_form, d.due_on, d.amount,
       CASE WHEN a.eftps_enrolled THEN 'eftps' ELSE 'state_portal' END, d.period_end
FROM planned_deposit AS d
JOIN payroll.employer_tax_account AS a
    ON a.business_id = d.business_id AND a.employer_tax_account_id = d.employer_tax_account_id
LEFT JOIN payroll.employer_bank_account AS b
    ON b.business_id = d.business_id AND b.employer_entity_id = d.employer_entity_id
   AND b.purpose = 'tax';
UPDATE payroll.tax_liability AS l
SET status = 'scheduled', tax_deposit_id = d.tax_deposit_id
FROM planned_deposit AS d
WHERE l.business_id = %(business_id)s AND l.tax_liability_id = ANY (d.liabilities);
UPDATE payroll.tax_deposit AS t
SET status = 'initiated',
    initiated_at = (d.settles_on - 1)::timestamp AT TIME ZONE 'UTC' + interval '14 hours'
FROM planned_deposit AS d
WHERE t.business_id = %(business_id)s AND t.tax_deposit_id = d.tax_deposit_id
  AND d.settles_on < %(as_of)s::date;
UPDATE payroll.tax_deposit AS t
SET status = 'accepted',
    confirmation_number = lpad((abs(hashtextextended(t.deposit_number, 0))
                                %% 1000000000000000)::text, 15, '2')
WHERE t.business_id = %(business_id)s AND t.status = 'initiated';
UPDATE payroll.tax_deposit AS t
SET status = 'settled', settled_on = d.settles_on
FROM planned_deposit AS d
WHERE t.business_id = %(business_id)s AND t.tax_deposit_id = d.tax_deposit_id
  AND t.status = 'accepted';

-- How the deposits were paid: a file of the day to the treasury and the states.
INSERT INTO payroll.payment_batch
    (business_id, payment_batch_id, employer_bank_account_id, released_by, batch_number,
     batch_kind, sec_code, company_entry_description, effective_entry_date, trace_prefix)
SELECT t.business_id, md5(concat_ws(' ', 'taxes', t.settled_on, t.employer_bank_account_id))::uuid,
       t.employer_bank_account_id, min(u.user_account_id::text)::uuid,
       format('TAX-%%s-%%s', to_char(t.settled_on, 'YYYYMMDD'),
              left(t.employer_bank_account_id::text, 8)),
       'tax_eft', 'CCD', 'TAXPMT', t.settled_on, left(min(b.routing_number), 8)
FROM payroll.tax_deposit AS t
JOIN payroll.employer_bank_account AS b
    ON b.business_id = t.business_id AND b.employer_bank_account_id = t.employer_bank_account_id
JOIN user_mgmt.user_account AS u
    ON u.business_id = t.business_id AND u.account_kind = 'staff'
WHERE t.business_id = %(business_id)s AND t.status = 'settled'
GROUP BY t.business_id, t.settled_on, t.employer_bank_account_id;
INSERT INTO payroll.payment_entry
    (business_id, payment_entry_id, payment_batch_id, tax_deposit_id, payee_kind, amount,
     trace_number, addenda)
SELECT t.business_id, md5(concat('entry ', t.tax_deposit_id))::uuid, b.payment_batch_id,
       t.tax_deposit_id, 'tax_authority', t.amount,
       b.trace_prefix || lpad((5000000 + row_number() OVER (
           PARTITION BY b.trace_prefix ORDER BY t.deposit_number))::text, 7, '0'),
       'TXP*' || t.filing_form || '*' || to_char(t.period_end, 'YYMMDD')
FROM payroll.tax_deposit AS t
JOIN payroll.payment_batch AS b
    ON b.business_id = t.business_id
   AND b.payment_batch_id = md5(concat_ws(' ', 'taxes', t.settled_on,
                                          t.employer_bank_account_id))::uuid
WHERE t.business_id = %(business_id)s;
UPDATE payroll.payment_batch AS b
SET status = 'released', released_at = (b.effective_entry_date - 1)::timestamp AT TIME ZONE 'UTC',
    second_released_by = CASE WHEN b.total_credit_amount > 250000 THEN u.second END
FROM (
    SELECT max(x.key::text) FILTER (WHERE x.turn = 2)::uuid AS second
    FROM (SELECT y.user_account_id AS key, row_number() OVER (ORDER BY y.user_account_id) AS turn
          FROM user_mgmt.user_account AS y
          WHERE y.business_id = %(business_id)s AND y.account_kind = 'staff') AS x
) AS u
WHERE b.business_id = %(business_id)s AND b.status = 'built' AND b.batch_kind = 'tax_eft';
UPDATE payroll.payment_batch AS b
SET status = 'sent'
WHERE b.business_id = %(business_id)s AND b.status = 'released' AND b.batch_kind = 'tax_eft';
UPDATE payroll.payment_batch AS b
SET status = 'acknowledged'
WHERE b.business_id = %(business_id)s AND b.status = 'sent' AND b.batch_kind = 'tax_eft';
UPDATE payroll.payment_batch AS b
SET status = 'settled'
WHERE b.business_id = %(business_id)s AND b.status = 'acknowledged' AND b.batch_kind = 'tax_eft';

-- A return for each quarter that has ended: the 941, each state's, and the 940 of the year.
INSERT INTO payroll.tax_filing
    (business_id, tax_filing_id, employer_tax_account_id, form_code, tax_year, quarter_no,
     period_start, period_end, due_on)
SELECT q.business_id, md5(concat_ws(' ', 'return', q.form, q.starts, q.account))::uuid, q.account,
       q.form, extract(year FROM q.starts)::integer,
       CASE WHEN q.ends - q.starts < 100 THEN extract(quarter FROM q.ends)::integer END, q.starts,
       q.ends, payroll.banking_day(payroll.return_due_on(q.place, q.ends) - 1, 1)
FROM (
    SELECT DISTINCT l.business_id, l.employer_tax_account_id AS account,
           a.tax_jurisdiction_id AS place, c.filing_form AS form, p.starts,
           (p.starts + CASE WHEN c.tax_kind = 'futa' THEN interval '1 year'
                            ELSE interval '3 months' END - interval '1 day')::date AS ends
    FROM payroll.tax_liability AS l
    JOIN payroll.employer_tax_account AS a
        ON a.business_id = l.business_id AND a.employer_tax_account_id = l.employer_tax_account_id
    JOIN payroll.tax_code AS c
        ON c.business_id = l.business_id AND c.tax_code_id = l.tax_code_id
    CROSS JOIN LATERAL (
        SELECT date_trunc(CASE WHEN c.tax_kind = 'futa' THEN 'year' ELSE 'quarter' END,
                          l.liability_date::timestamp)::date AS starts
    ) AS p
    WHERE l.business_id = %(business_id)s
) AS q
WHERE q.ends < %(as_of)s::date;

SELECT CASE WHEN f.form_code = '941'
            THEN payroll.prepare_form_941(f.employer_entity_id, f.tax_year, f.quarter_no)
            ELSE payroll.prepare_return(f.employer_tax_account_id, f.form_code, f.period_start,
                                        f.period_end) END
FROM (
    SELECT x.*, a.employer_entity_id
    FROM payroll.tax_filing AS x
    JOIN payroll.employer_tax_account AS a
        ON a.business_id = x.business_id AND a.employer_tax_account_id = x.employer_tax_account_id
    WHERE x.business_id = %(business_id)s
    ORDER BY x.period_start, x.tax_filing_id
) AS f;
UPDATE payroll.tax_filing_line AS l
SET tax_filing_line_id = md5(concat_ws(' ', 'line', l.line_code, l.liability_date, l.employee_id,
                                       l.tax_filing_id))::uuid
WHERE l.business_id = %(business_id)s;

UPDATE payroll.tax_filing AS f SET status = 'ready' WHERE f.business_id = %(business_id)s;
UPDATE payroll.tax_filing AS f
SET status = 'filed', signed_by = u.user_account_id,
    filed_at = (f.due_on - 9)::timestamp AT TIME ZONE 'UTC' + interval '17 hours'
FROM (SELECT y.user_account_id FROM user_mgmt.user_account AS y
      WHERE y.business_id = %(business_id)s AND y.account_kind = 'staff'
      ORDER BY y.user_account_id LIMIT 1) AS u
WHERE f.business_id = %(business_id)s AND f.due_on - 9 < %(as_of)s::date;
-- Four in a hundred were rejected once and filed again.
UPDATE payroll.tax_filing AS f
SET status = CASE s.turn WHEN 1 THEN 'rejected' ELSE 'accepted' END,
    rejection_codes = CASE s.turn WHEN 1 THEN '{R0000-500-01}'::text[] ELSE '{}' END,
    submission_id = CASE s.turn WHEN 2 THEN to_char(f.filed_at, 'YYYYMMDD')
                                            || left(md5(f.tax_filing_id::text), 12) END
FROM (
    SELECT x.tax_filing_id,
           CASE WHEN abs(hashtextextended(x.tax_filing_id::text, 0)) %% 25 = 3 THEN 1 ELSE 2 END
               AS turn
    FROM payroll.tax_filing AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'filed'
) AS s
WHERE f.business_id = %(business_id)s AND f.tax_filing_id = s.tax_filing_id;

-- The forms of last year: reviewed, mailed in January, sent to the administration.
INSERT INTO payroll.wage_statement
    (business_id, wage_statement_id, employer_entity_id, employee_id, contractor_id, tax_year,
     form_kind, control_number, due_on, is_retirement_plan, state_copies)
SELECT p.business_id, md5(concat_ws(' ', 'form', p.kind, p.person, y.year))::uuid,
       p.employer_entity_id, CASE p.kind WHEN 'w2' THEN p.person END,
       CASE p.kind WHEN '1099_nec' THEN p.person END, y.year, p.kind,
       format('%%s-%%s-%%s', CASE p.kind WHEN 'w2' THEN 'W2' ELSE 'NEC' END, y.year, p.number),
       make_date(y.year + 1, 1, 31), p.has_plan, p.states
FROM (SELECT extract(year FROM %(as_of)s::date)::integer - 1 AS year) AS y
CROSS JOIN LATERAL (
    SELECT e.business_id, e.employer_entity_id, 'w2' AS kind, b.employee_id AS person,
           x.employee_number AS number, coalesce(bool_or(b.sub_code IN ('D', 'AA')), false)
               AS has_plan, count(DISTINCT b.state_id) AS states
    FROM payroll.employer_entity AS e
    CROSS JOIN LATERAL payroll.wage_boxes(e.employer_entity_id, y.year) AS b
    JOIN payroll.employee AS x ON x.business_id = e.business_id AND x.employee_id = b.employee_id
    WHERE e.business_id = %(business_id)s
    GROUP BY e.business_id, e.employer_entity_id, b.employee_id, x.employee_number
    UNION ALL
    SELECT c.business_id, c.employer_entity_id, '1099_nec', c.contractor_id, c.contractor_number,
           false, 0
    FROM payroll.contractor AS c
    WHERE c.business_id = %(business_id)s AND (
        SELECT sum(p.amount) >= 600
        FROM payroll.contractor_payment AS p
        WHERE p.business_id = c.business_id AND p.contractor_id = c.contractor_id
          AND p.status = 'paid' AND extract(year FROM p.paid_on) = y.year)
) AS p;
INSERT INTO payroll.wage_statement_box
    (business_id, wage_statement_box_id, wage_statement_id, tax_jurisdiction_id, box_code,
     sub_code, label, amount, state_id, locality_name, sort_order)
SELECT w.business_id,
       md5(concat_ws(' ', 'box', b.box_code, b.sub_code, b.state_id, b.locality_name,
                     w.wage_statement_id))::uuid,
       w.wage_statement_id, b.jurisdiction, b.box_code, b.sub_code, b.label, b.amount, b.state_id,
       b.locality_name, b.place
FROM payroll.employer_entity AS e
CROSS JOIN LATERAL payroll.wage_boxes(
    e.employer_entity_id, extract(year FROM %(as_of)s::date)::integer - 1) AS b
JOIN payroll.wage_statement AS w
    ON w.business_id = e.business_id AND w.employer_entity_id = e.employer_entity_id
   AND w.employee_id = b.employee_id
WHERE e.business_id = %(business_id)s;
INSERT INTO payroll.wage_statement_box
    (business_id, wage_statement_box_id, wage_statement_id, box_code, label, amount, sort_order)
SELECT w.business_id, md5(concat_ws(' ', 'box', x.box, w.wage_statement_id))::uuid,
       w.wage_statement_id, x.box, x.label, x.amount, x.turn
FROM payroll.wage_statement AS w
CROSS JOIN LATERAL (
    SELECT sum(p.amount) AS paid, sum(p.backup_withholding_amount) AS withheld
    FROM payroll.contractor_payment AS p
    WHERE p.business_id = w.business_id AND p.contractor_id = w.contractor_id
      AND p.status = 'paid' AND extract(year FROM p.paid_on) = w.tax_year
) AS s
CROSS JOIN LATERAL (VALUES ('1', 'Nonemployee compensation', s.paid, 1),
                           ('4', 'Federal income tax withheld', s.withheld, 4))
    AS x (box, label, amount, turn)
WHERE w.business_id = %(business_id)s AND w.contractor_id IS NOT NULL AND x.amount > 0;
UPDATE payroll.wage_statement AS w SET status = 'reviewed' WHERE w.business_id = %(business_id)s;
UPDATE payroll.wage_statement AS w
SET status = 'furnished',
    furnished_on = w.due_on - 6 + (abs(hashtextextended(w.wage_statement_id::text, 0))
                                   %% 6)::integer
                   + CASE WHEN abs(hashtextextended(w.wage_statement_id::text, 1)) %% 100 = 7
                          THEN 12 ELSE 0 END
WHERE w.business_id = %(business_id)s AND w.due_on < %(as_of)s::date;
UPDATE payroll.wage_statement AS w
SET status = 'transmitted',
    transmitted_at = (w.due_on + 1)::timestamp AT TIME ZONE 'UTC' + interval '15 hours'
WHERE w.business_id = %(business_id)s AND w.status = 'furnished';
UPDATE payroll.wage_statement AS w
SET status = 'accepted'
WHERE w.business_id = %(business_id)s AND w.status = 'transmitted';

-- What agencies wrote: a penalty for each deposit that was late, a new unemployment rate.
INSERT INTO payroll.tax_notice
    (business_id, tax_notice_id, employer_tax_account_id, notice_code, received_on, notice_date,
     notice_kind, amount, response_due_on, status)
SELECT t.business_id, md5(concat('penalty ', t.tax_deposit_id))::uuid, t.employer_tax_account_id,
       'CP161', t.settled_on + 41, t.settled_on + 35, 'penalty', t.penalty_amount,
       t.settled_on + 65, 'new'
FROM payroll.tax_deposit AS t
WHERE t.business_id = %(business_id)s AND t.penalty_amount > 0
  AND t.settled_on + 41 < %(as_of)s::date;
INSERT INTO payroll.tax_notice
    (business_id, tax_notice_id, employer_tax_account_id, notice_code, received_on, notice_date,
     notice_kind, status)
SELECT a.business_id, md5(concat('rate ', a.employer_tax_account_id))::uuid,
       a.employer_tax_account_id, 'UI-RATE', y.day + 4, y.day, 'rate_change', 'new'
FROM payroll.employer_tax_account AS a
CROSS JOIN (SELECT (date_trunc('year', %(as_of)s::timestamp) - interval '18 days')::date AS day) AS y
WHERE a.business_id = %(business_id)s AND a.experience_rate IS NOT NULL;
UPDATE payroll.tax_notice AS n
SET status = 'closed',
    resolution = CASE n.notice_kind WHEN 'penalty' THEN 'Paid with the next deposit'
                                    ELSE 'Rate confirmed, no change' END
WHERE n.business_id = %(business_id)s AND n.received_on < %(as_of)s::date - 60;
