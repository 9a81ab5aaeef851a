-- The payroll office looks at what is due in thirty days: liabilities, deposits, returns.
-- budget: p95 100ms
-- weight: 4
-- mode: read
-- rows: >=1
-- params: employer_entity_id from payroll.employer_entity where status = 'active'
WITH day AS (
    -- The end is made here: a condition that adds days to a date is not leakproof, and row security
    -- keeps such a one from indexes.
    SELECT max(l.liability_date) AS today, max(l.liability_date) + 30 AS until
    FROM payroll.tax_liability AS l
    WHERE l.business_id = %(business_id)s
), owed AS (
    SELECT l.business_id, 'liability' AS kind, a.employer_entity_id, c.filing_form AS form,
           l.due_on, l.status, sum(l.total_amount) AS amount
    FROM day AS d
    JOIN payroll.tax_liability AS l
        ON l.business_id = %(business_id)s AND l.status IN ('open', 'scheduled', 'adjusted')
       AND l.due_on < d.until
    JOIN payroll.employer_tax_account AS a
        ON a.business_id = l.business_id AND a.employer_tax_account_id = l.employer_tax_account_id
    JOIN payroll.tax_code AS c
        ON c.business_id = l.business_id AND c.tax_code_id = l.tax_code_id
    WHERE l.tax_deposit_id IS NULL
    GROUP BY l.business_id, a.employer_entity_id, c.filing_form, l.due_on, l.status
), deposit AS (
    SELECT t.business_id, 'deposit' AS kind, a.employer_entity_id, t.filing_form AS form,
           t.due_on, t.status, t.amount
    FROM day AS d
    JOIN payroll.tax_deposit AS t
        ON t.business_id = %(business_id)s
       AND t.status IN ('scheduled', 'initiated', 'accepted', 'late')
       AND t.due_on < d.until
    JOIN payroll.employer_tax_account AS a
        ON a.business_id = t.business_id AND a.employer_tax_account_id = t.employer_tax_account_id
), duty AS (
    SELECT c.business_id, 'duty' AS kind, c.employer_entity_id, c.title AS form, c.due_on,
           c.status, c.penalty_risk_amount AS amount
    FROM day AS d
    JOIN payroll.compliance_deadline AS c
        ON c.business_id = %(business_id)s AND c.status IN ('upcoming', 'in_progress', 'late')
       AND c.due_on < d.until
)
SELECT x.business_id, x.kind, x.form, x.due_on, x.status, x.amount, x.due_on - d.today AS days_left
FROM (SELECT * FROM owed UNION ALL SELECT * FROM deposit UNION ALL SELECT * FROM duty) AS x
CROSS JOIN day AS d
WHERE x.business_id = %(business_id)s AND x.employer_entity_id = %(employer_entity_id)s
ORDER BY x.due_on, x.kind, x.form
LIMIT 100
