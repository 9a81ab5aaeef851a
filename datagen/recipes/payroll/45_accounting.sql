SELECT tenant_mgmt.set_tenant(%(business_id)s);
SET LOCAL enable_nestloop = off;

-- An account for each kind of item; some codes have their own, supervisors' pay too.
INSERT INTO payroll.gl_account_map
    (business_id, gl_account_map_id, item_kind, side, account_number, account_name,
     cost_center_source, effective_from)
SELECT %(business_id)s::uuid,
       md5(concat_ws(' ', 'map', m.kind, m.side, %(business_id)s))::uuid, m.kind, m.side,
       m.number, m.name, m.center, %(as_of)s::date - 1200
FROM (VALUES
    ('earning', 'debit', '6000', 'Wages and salaries', 'department'),
    ('earning', 'credit', '2210', 'Accrued wages', 'fixed'),
    ('reimbursement', 'debit', '6450', 'Reimbursed expenses', 'department'),
    ('reimbursement', 'credit', '2210', 'Accrued wages', 'fixed'),
    ('deduction', 'credit', '2150', 'Employee deductions payable', 'fixed'),
    ('deduction', 'debit', '6120', 'Employee benefits', 'department'),
    ('tax', 'credit', '2110', 'Withheld taxes payable', 'fixed'),
    ('tax', 'debit', '2110', 'Withheld taxes payable', 'fixed'),
    ('employer_tax', 'debit', '6100', 'Payroll taxes', 'department'),
    ('employer_tax', 'credit', '2120', 'Employer taxes payable', 'fixed'),
    ('net_pay', 'credit', '1010', 'Payroll cash', 'fixed'),
    ('net_pay', 'debit', '1010', 'Payroll cash', 'fixed'),
    ('accrual', 'debit', '6000', 'Wages and salaries', 'department'),
    ('accrual', 'credit', '2210', 'Accrued wages', 'fixed')
) AS m (kind, side, number, name, center);

INSERT INTO payroll.gl_account_map
    (business_id, gl_account_map_id, earning_code_id, item_kind, side, account_number,
     account_name, cost_center_source, effective_from)
SELECT c.business_id, md5(concat('map of ', c.earning_code_id))::uuid, c.earning_code_id,
       'earning', 'debit', m.number, m.name, 'department', %(as_of)s::date - 1200
FROM payroll.earning_code AS c
JOIN (VALUES ('overtime', '6010', 'Overtime'), ('doubletime', '6010', 'Overtime'),
             ('pto', '6020', 'Paid time off'), ('holiday', '6020', 'Paid time off'),
             ('bonus', '6030', 'Bonuses'), ('commission', '6035', 'Commissions'),
             ('tips', '2230', 'Tips payable'), ('severance', '6040', 'Severance'))
    AS m (kind, number, name) ON m.kind = c.earning_kind
WHERE c.business_id = %(business_id)s;

INSERT INTO payroll.gl_account_map
    (business_id, gl_account_map_id, deduction_code_id, item_kind, side, account_number,
     account_name, effective_from)
SELECT c.business_id, md5(concat('map of ', c.deduction_code_id))::uuid, c.deduction_code_id,
       'deduction', 'credit', m.number, m.name, %(as_of)s::date - 1200
FROM payroll.deduction_code AS c
JOIN (VALUES ('health', '2151', 'Health insurance payable'),
             ('dental', '2151', 'Health insurance payable'),
             ('vision', '2151', 'Health insurance payable'),
             ('retirement_pretax', '2160', '401(k) payable'), ('roth', '2160', '401(k) payable'),
             ('garnishment', '2170', 'Garnishments payable'),
             ('hsa', '2155', 'Health savings payable')) AS m (kind, number, name)
    ON m.kind = c.category
WHERE c.business_id = %(business_id)s;

-- Every run that was paid is in the books on its check date, and exported a day later.
INSERT INTO payroll.journal_entry
    (business_id, journal_entry_id, pay_run_id, journal_number, accounting_date, period_code)
SELECT r.business_id, md5(concat('journal ', r.pay_run_id))::uuid, r.pay_run_id,
       'JE-' || r.run_number, r.check_date, to_char(r.check_date, 'YYYY-MM')
FROM payroll.pay_run AS r
WHERE r.business_id = %(business_id)s
  AND r.status IN ('approved', 'funded', 'paid', 'partially_returned') AND r.gross_amount > 0;

-- What was voided is taken back on the day of the correction.
INSERT INTO payroll.journal_entry
    (business_id, journal_entry_id, pay_run_id, paycheck_id, journal_number, journal_kind,
     accounting_date, period_code)
SELECT p.business_id, md5(concat('reversal ', p.paycheck_id))::uuid, p.pay_run_id, p.paycheck_id,
       'JR-' || p.check_number, 'reversal', d.day, to_char(d.day, 'YYYY-MM')
FROM payroll.paycheck AS p
JOIN payroll.paycheck_correction AS c
    ON c.business_id = p.business_id AND c.original_paycheck_id = p.paycheck_id
   AND c.correction_kind = 'void' AND c.status = 'done'
CROSS JOIN LATERAL (
    SELECT greatest(p.check_date, (c.requested_at AT TIME ZONE 'UTC')::date) AS day
) AS d
WHERE p.business_id = %(business_id)s AND p.status = 'voided' AND p.gross_amount > 0;
SET LOCAL enable_nestloop = on;
SELECT payroll.fill_journal(j.journal_entry_id)
FROM (SELECT x.journal_entry_id FROM payroll.journal_entry AS x
      WHERE x.business_id = %(business_id)s
      ORDER BY x.journal_number) AS j;

UPDATE payroll.journal_line AS l
SET journal_line_id = md5(concat_ws(' ', 'line', l.line_no, l.journal_entry_id))::uuid
WHERE l.business_id = %(business_id)s;

UPDATE payroll.journal_entry AS j SET status = 'posted' WHERE j.business_id = %(business_id)s;
UPDATE payroll.journal_entry AS j
SET status = 'exported',
    exported_at = (j.accounting_date + 1)::timestamp AT TIME ZONE 'UTC' + interval '6 hours',
    external_reference = 'GL-' || (10000 + abs(hashtextextended(j.journal_number, 0)) %% 80000)
WHERE j.business_id = %(business_id)s AND j.accounting_date < %(as_of)s::date - 7;
