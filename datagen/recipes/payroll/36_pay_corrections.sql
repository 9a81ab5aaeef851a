SELECT tenant_mgmt.set_tenant(%(business_id)s);

-- What waits for a decision: hours that came in after the last run, a check that was lost.
INSERT INTO payroll.retro_adjustment
    (business_id, retro_adjustment_id, original_paycheck_id, employee_id, reason, from_date,
     to_date, old_amount, new_amount, explanation)
SELECT p.business_id, md5(concat('proposed ', p.paycheck_id))::uuid, p.paycheck_id,
       p.employee_id, 'correction', d.starts_on, d.ends_on, p.gross_amount,
       p.gross_amount + 40 + p.turn, 'The supervisor corrected a shift after the run'
FROM (
    SELECT x.*, row_number() OVER (PARTITION BY x.pay_run_id
                                   ORDER BY hashtextextended(x.paycheck_id::text, 0),
                                            x.paycheck_id) AS turn
    FROM payroll.paycheck AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'paid'
      AND x.check_date > %(as_of)s::date - 18
) AS p
JOIN payroll.pay_period AS d
    ON d.business_id = p.business_id AND d.pay_period_id = p.pay_period_id
WHERE p.turn <= 2;

INSERT INTO payroll.paycheck_correction
    (business_id, paycheck_correction_id, original_paycheck_id, requested_by, correction_kind,
     reason, requested_at)
SELECT p.business_id, md5(concat('lost ', p.paycheck_id))::uuid, p.paycheck_id, p.prepared_by,
       'stop_payment',
       format('The employee says that the %%s did not arrive',
              CASE p.payment_method WHEN 'check' THEN 'check' ELSE 'deposit' END),
       %(as_of)s::timestamptz - interval '3 hours'
FROM (
    SELECT x.business_id, x.paycheck_id, x.payment_method, r.prepared_by,
           row_number() OVER (ORDER BY x.payment_method <> 'check',
                                       hashtextextended('lost ' || x.paycheck_id, 0),
                                       x.paycheck_id) AS turn
    FROM payroll.paycheck AS x
    JOIN payroll.pay_run AS r
        ON r.business_id = x.business_id AND r.pay_run_id = x.pay_run_id
    WHERE x.business_id = %(business_id)s AND x.status = 'paid'
      AND x.check_date > %(as_of)s::date - 40 AND r.prepared_by IS NOT NULL
) AS p
WHERE p.turn = 1;
