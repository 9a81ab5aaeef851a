SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- The numbers of the law, from a catalog like the tax tables: what is due the next day, what a late
-- deposit costs, what is withheld from contractors without a tax number.
INSERT INTO payroll.deposit_rule
    (business_id, deposit_rule_id, tax_jurisdiction_id, effective_from, effective_until,
     next_day_over_amount, lookback_over_amount, penalty_tiers, backup_withholding_rate,
     contractor_report_amount)
SELECT j.business_id, md5(concat('rule ', x.since, j.tax_jurisdiction_id))::uuid,
       j.tax_jurisdiction_id, x.since, x.until, 100000, 50000,
       '[{"from_day": 1, "percent": 2}, {"from_day": 6, "percent": 5},
         {"from_day": 16, "percent": 10}, {"from_day": 30, "percent": 15}]', 0.24, x.report
FROM payroll.tax_jurisdiction AS j
CROSS JOIN (VALUES ('2018-01-01'::date, '2026-01-01'::date, 600), ('2026-01-01', NULL, 2000))
    AS x (since, until, report)
WHERE j.business_id = %(business_id)s AND j.level = 'federal';

-- One account that pays people, one for the agencies.
INSERT INTO payroll.employer_bank_account
    (business_id, employer_bank_account_id, employer_entity_id, nickname, account_token,
     routing_number, last4, purpose, verification, verified_at, status,
     daily_debit_limit_amount, dual_release_over_amount, is_default)
SELECT e.business_id, md5(concat('bank ', k.purpose, e.employer_entity_id))::uuid,
       e.employer_entity_id, k.nickname,
       'tok_' || left(md5(concat('bank ', k.purpose, e.employer_entity_id)), 20), b.routing,
       lpad((n.place %% 10000)::text, 4, '0'), k.purpose, 'plaid',
       %(as_of)s::timestamptz - interval '900 days', 'verified', 5000000, 250000, true
FROM payroll.employer_entity AS e
CROSS JOIN (VALUES ('payroll', 'Payroll account'), ('tax', 'Tax and agency account'))
    AS k (purpose, nickname)
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(concat('bank ', k.purpose, e.employer_entity_id), 0) %% 100000)
               ::integer AS place,
           row_number() OVER () AS turn
) AS n
JOIN (VALUES (0, '071000013'), (1, '071000039'), (2, '071000288'), (3, '021000021'))
    AS b (turn, routing)
    ON b.turn = abs(hashtextextended(concat('bank of ', e.employer_entity_id), 0) %% 4)
WHERE e.business_id = %(business_id)s;

-- A deposit file and a print run for each run that was paid.
INSERT INTO payroll.payment_batch
    (business_id, payment_batch_id, pay_run_id, employer_bank_account_id, released_by,
     second_released_by, batch_number, batch_kind, sec_code, effective_entry_date, trace_prefix)
SELECT r.business_id, md5(concat(k.kind, r.pay_run_id))::uuid, r.pay_run_id,
       b.employer_bank_account_id, u.boss, r.prepared_by, k.prefix || r.run_number, k.kind, k.sec,
       r.check_date, left(b.routing_number, 8)
FROM payroll.pay_run AS r
JOIN payroll.employer_bank_account AS b
    ON b.business_id = r.business_id AND b.employer_entity_id = r.employer_entity_id
   AND b.purpose = 'payroll'
CROSS JOIN (VALUES ('ach_credit', 'PPD', 'ACH-'), ('check', 'none', 'CHK-')) AS k (kind, sec, prefix)
CROSS JOIN (
    SELECT max(x.key::text) FILTER (WHERE x.turn = 2)::uuid AS boss
    FROM (SELECT y.user_account_id AS key, row_number() OVER (ORDER BY y.user_account_id) AS turn
          FROM user_mgmt.user_account AS y
          WHERE y.business_id = %(business_id)s AND y.account_kind = 'staff') AS x
) AS u
WHERE r.business_id = %(business_id)s AND r.status = 'paid' AND u.boss IS NOT NULL
  AND EXISTS (
      SELECT
      FROM payroll.paycheck AS p
      WHERE p.business_id = r.business_id AND p.pay_run_id = r.pay_run_id AND p.net_amount > 0
        AND EXISTS (
            SELECT
            FROM payroll.direct_deposit_split AS d
            WHERE d.business_id = p.business_id AND d.employee_id = p.employee_id
              AND d.split_kind = 'remainder') = (k.kind = 'ach_credit'));

INSERT INTO payroll.payment_entry
    (business_id, payment_entry_id, payment_batch_id, paycheck_id, employee_bank_account_id,
     payee_kind, amount, routing_number, trace_number, check_number, stale_after)
SELECT s.business_id, md5(concat('entry ', s.paycheck_id, s.account))::uuid, s.payment_batch_id,
       s.paycheck_id, s.account, 'employee', s.amount, s.routing_number,
       CASE WHEN s.account IS NOT NULL
            THEN s.trace_prefix || lpad((row_number() OVER w)::text, 7, '0') END,
       CASE WHEN s.account IS NULL
            THEN s.last4 || '-' || 1000 + row_number() OVER w END,
       CASE WHEN s.account IS NULL THEN s.check_date + 180 END
FROM (
    SELECT p.business_id, p.paycheck_id, p.check_number, b.payment_batch_id, b.trace_prefix,
           d.employee_bank_account_id AS account, sum(d.amount) AS amount, a.routing_number,
           e.last4, p.check_date
    FROM payroll.paycheck AS p
    CROSS JOIN LATERAL payroll.split_net_pay(p.employee_id, p.net_amount, p.check_date,
                                             %(as_of)s::timestamptz) AS d
    JOIN payroll.payment_batch AS b
        ON b.business_id = p.business_id AND b.pay_run_id = p.pay_run_id
       AND b.batch_kind = CASE WHEN d.employee_bank_account_id IS NULL THEN 'check'
                               ELSE 'ach_credit' END
    JOIN payroll.employer_bank_account AS e
        ON e.business_id = b.business_id
       AND e.employer_bank_account_id = b.employer_bank_account_id
    LEFT JOIN payroll.employee_bank_account AS a
        ON a.business_id = p.business_id
       AND a.employee_bank_account_id = d.employee_bank_account_id
    WHERE p.business_id = %(business_id)s AND p.net_amount > 0
    GROUP BY p.business_id, p.paycheck_id, p.check_number, b.payment_batch_id, b.trace_prefix,
             d.employee_bank_account_id, a.routing_number, e.last4, p.check_date
) AS s
WINDOW w AS (PARTITION BY s.account IS NULL, s.trace_prefix
             ORDER BY s.check_date, s.check_number, s.account);

-- What the employer is debited: the sum of the file.
INSERT INTO payroll.payment_entry
    (business_id, payment_entry_id, payment_batch_id, payee_kind, amount, direction,
     routing_number, trace_number)
SELECT b.business_id, md5(concat('debit ', b.payment_batch_id))::uuid, b.payment_batch_id,
       'employer_debit', b.total_credit_amount, 'debit', a.routing_number,
       b.trace_prefix || lpad((9000000 + row_number() OVER (
           PARTITION BY b.trace_prefix ORDER BY b.batch_number))::text, 7, '0')
FROM payroll.payment_batch AS b
JOIN payroll.employer_bank_account AS a
    ON a.business_id = b.business_id AND a.employer_bank_account_id = b.employer_bank_account_id
WHERE b.business_id = %(business_id)s AND b.batch_kind = 'ach_credit'
  AND b.total_credit_amount > 0;

-- Released, sent, acknowledged, settled.
UPDATE payroll.payment_batch AS b
SET status = 'released',
    released_at = (payroll.banking_day(b.effective_entry_date, -2) + time '15:00')
                  AT TIME ZONE 'UTC',
    second_released_by = CASE WHEN b.total_credit_amount > 250000 THEN b.second_released_by END
WHERE b.business_id = %(business_id)s;
UPDATE payroll.payment_batch AS b SET status = 'sent' WHERE b.business_id = %(business_id)s;
UPDATE payroll.payment_batch AS b
SET status = 'acknowledged'
WHERE b.business_id = %(business_id)s;
UPDATE payroll.payment_batch AS b SET status = 'settled' WHERE b.business_id = %(business_id)s;

UPDATE payroll.payment_entry AS e
SET cleared_on = e.settlement_date + 2 + (abs(hashtextextended(e.payment_entry_id::text, 0))
                                          %% 12)::integer
WHERE e.business_id = %(business_id)s AND e.check_number IS NOT NULL
  AND abs(hashtextextended(concat('cashed ', e.payment_entry_id), 0)) %% 60 <> 7
  AND e.settlement_date + 14 < %(as_of)s::date;
SELECT payroll.mark_stale_checks(%(as_of)s::date);

-- A deposit that came back was sent again by check; a voided one was reversed.
INSERT INTO payroll.payment_return
    (business_id, payment_return_id, payment_entry_id, returned_on, return_code, amount, action,
     resolved_at)
SELECT e.business_id, md5(concat('return ', e.payment_entry_id))::uuid, e.payment_entry_id,
       payroll.banking_day(e.settlement_date, 1),
       CASE WHEN n.place < 6 THEN 'R01' WHEN n.place < 10 THEN 'R03' ELSE 'R02' END, e.amount,
       'reissue_check',
       (e.settlement_date + 5)::timestamp AT TIME ZONE 'UTC'
FROM payroll.payment_entry AS e
JOIN payroll.paycheck AS p ON p.business_id = e.business_id AND p.paycheck_id = e.paycheck_id
CROSS JOIN LATERAL (
    SELECT (abs(hashtextextended(e.payment_entry_id::text, 0)) %% 12)::integer AS place
) AS n
WHERE e.business_id = %(business_id)s AND p.status = 'reissued' AND e.trace_number IS NOT NULL;

INSERT INTO payroll.payment_batch
    (business_id, payment_batch_id, pay_run_id, employer_bank_account_id, released_by,
     batch_number, batch_kind, company_entry_description, effective_entry_date, trace_prefix)
SELECT b.business_id, md5(concat('reissue ', e.payment_entry_id))::uuid, b.pay_run_id,
       b.employer_bank_account_id, b.released_by, 'RE-' || e.trace_number, 'check', 'REISSUE',
       e.settlement_date + 5, b.trace_prefix
FROM payroll.payment_entry AS e
JOIN payroll.payment_batch AS b
    ON b.business_id = e.business_id AND b.payment_batch_id = e.payment_batch_id
WHERE e.business_id = %(business_id)s AND e.status = 'returned' AND e.paycheck_id IS NOT NULL;
UPDATE payroll.payment_entry AS e
SET status = 'reissued'
WHERE e.business_id = %(business_id)s AND e.status = 'returned';
INSERT INTO payroll.payment_entry
    (business_id, payment_entry_id, payment_batch_id, paycheck_id, payee_kind, amount,
     check_number, stale_after)
SELECT e.business_id, md5(concat('paid again ', e.payment_entry_id))::uuid, b.payment_batch_id,
       e.paycheck_id, 'employee', e.amount, 'R-' || right(e.trace_number, 7),
       b.effective_entry_date + 180
FROM payroll.payment_entry AS e
JOIN payroll.payment_batch AS b
    ON b.business_id = e.business_id
   AND b.payment_batch_id = md5(concat('reissue ', e.payment_entry_id))::uuid
WHERE e.business_id = %(business_id)s AND e.status = 'reissued';
UPDATE payroll.payment_batch AS b
SET status = 'released', released_at = b.effective_entry_date::timestamp AT TIME ZONE 'UTC'
WHERE b.business_id = %(business_id)s AND b.status = 'built';
UPDATE payroll.payment_batch AS b
SET status = 'sent'
WHERE b.business_id = %(business_id)s AND b.status = 'released';
UPDATE payroll.payment_batch AS b
SET status = 'acknowledged'
WHERE b.business_id = %(business_id)s AND b.status = 'sent';
UPDATE payroll.payment_batch AS b
SET status = 'settled'
WHERE b.business_id = %(business_id)s AND b.status = 'acknowledged';

-- One deposit in a hundred and fifty brings word that the account has another number.
INSERT INTO payroll.payment_return
    (business_id, payment_return_id, payment_entry_id, returned_on, return_code, corrected_data,
     action, resolved_at)
SELECT e.business_id, md5(concat('change ', e.payment_entry_id))::uuid, e.payment_entry_id,
       payroll.banking_day(e.settlement_date, 2), 'C05',
       '{"account_kind": "checking"}', 'update_account',
       (e.settlement_date + 4)::timestamp AT TIME ZONE 'UTC'
FROM payroll.payment_entry AS e
JOIN payroll.employee_bank_account AS a
    ON a.business_id = e.business_id AND a.employee_bank_account_id = e.employee_bank_account_id
   AND a.account_kind = 'checking'
WHERE e.business_id = %(business_id)s AND e.status = 'settled'
  AND abs(hashtextextended(concat('change ', e.payment_entry_id), 0)) %% 150 = 1;

-- The deposits of voided checks were reversed.
UPDATE payroll.payment_entry AS e
SET status = 'returned'
FROM payroll.paycheck AS p
WHERE e.business_id = %(business_id)s AND p.business_id = e.business_id
  AND p.paycheck_id = e.paycheck_id AND p.status = 'voided' AND e.status = 'settled'
  AND e.trace_number IS NOT NULL;
UPDATE payroll.payment_entry AS e
SET status = 'voided'
FROM payroll.paycheck AS p
WHERE e.business_id = %(business_id)s AND p.business_id = e.business_id
  AND p.paycheck_id = e.paycheck_id AND p.status = 'voided' AND e.status = 'returned';

-- Agencies get what was withheld, most of it a few days ahead.
SET LOCAL enable_nestloop = on;
SELECT payroll.remit_garnishments(r.pay_run_id)
FROM (SELECT x.pay_run_id FROM payroll.pay_run AS x
      WHERE x.business_id = %(business_id)s AND x.status = 'paid'
      ORDER BY x.check_date, x.run_number) AS r;
UPDATE payroll.garnishment_remittance AS r
SET garnishment_remittance_id = md5(concat('remitted ', r.paycheck_deduction_id))::uuid,
    status = CASE WHEN r.withheld_on + 3 < %(as_of)s::date THEN 'remitted' ELSE 'due' END,
    remitted_on = CASE WHEN r.withheld_on + 3 < %(as_of)s::date
                       THEN r.withheld_on + 1 + (abs(hashtextextended(
                                r.paycheck_deduction_id::text, 0)) %% 3)::integer END,
    confirmation_number = CASE WHEN r.withheld_on + 3 < %(as_of)s::date
                               THEN 'G' || left(md5(r.paycheck_deduction_id::text), 10) END
WHERE r.business_id = %(business_id)s;

-- Contractors invoice by the month.
INSERT INTO payroll.contractor_payment
    (business_id, contractor_payment_id, contractor_id, payment_number, paid_on, hours,
     rate_amount, amount, reimbursement_amount, invoice_reference, status)
SELECT c.business_id, md5(concat('invoice ', m.month, c.contractor_id))::uuid, c.contractor_id,
       format('CP-%%s-%%s', to_char(m.month, 'YYMM'), c.contractor_number),
       CASE WHEN m.paid_on < %(as_of)s::date THEN m.paid_on END, n.hours,
       coalesce(c.hourly_rate_amount, 65),
       round(n.hours * coalesce(c.hourly_rate_amount, 65), 2),
       CASE WHEN n.place %% 4 = 0 THEN 18 + n.place %% 90 ELSE 0 END,
       format('INV-%%s', 1000 + n.place %% 9000),
       CASE WHEN m.paid_on < %(as_of)s::date THEN 'paid' ELSE 'draft' END
FROM payroll.contractor AS c
CROSS JOIN (
    SELECT g::date AS month, (g + interval '1 month' + interval '9 days')::date AS paid_on
    FROM generate_series(date_trunc('month', %(as_of)s::timestamp) - interval '17 months',
                         date_trunc('month', %(as_of)s::timestamp) - interval '1 month',
                         interval '1 month') AS g
) AS m
CROSS JOIN LATERAL (
    SELECT p.place, 8 + p.place %% 60 + 0.5 AS hours
    FROM (SELECT abs(hashtextextended(concat('invoice ', m.month, c.contractor_id), 0)
                     %% 100000)::integer AS place) AS p
) AS n
WHERE c.business_id = %(business_id)s AND n.place %% 5 < 2
  AND (c.w9_received_on IS NOT NULL OR c.backup_withholding)
  AND c.started_on <= m.month AND coalesce(c.ended_on > m.month, true);
