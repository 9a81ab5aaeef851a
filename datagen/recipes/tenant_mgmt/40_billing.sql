-- A draft was neither collected nor corrected.
DELETE FROM tenant_mgmt.dunning_case AS d
USING tenant_mgmt.invoice AS i
WHERE d.business_id = %(business_id)s
  AND i.business_id = d.business_id AND i.invoice_id = d.invoice_id AND i.status = 'draft';
DELETE FROM tenant_mgmt.payment_attempt AS p
USING tenant_mgmt.invoice AS i
WHERE p.business_id = %(business_id)s
  AND i.business_id = p.business_id AND i.invoice_id = p.invoice_id AND i.status = 'draft';
DELETE FROM tenant_mgmt.credit_note AS n
USING tenant_mgmt.invoice AS i
WHERE n.business_id = %(business_id)s
  AND i.business_id = n.business_id AND i.invoice_id = n.invoice_id AND i.status = 'draft';

-- Only a line of usage names a period.
UPDATE tenant_mgmt.invoice_line AS l
SET usage_period_id = NULL
WHERE l.business_id = %(business_id)s
  AND l.usage_period_id IS NOT NULL AND l.line_kind NOT IN ('usage', 'overage');

-- An invoice is collected whole; most that fail are collected a few days later.
UPDATE tenant_mgmt.payment_attempt AS p
SET amount = i.total_amount
FROM tenant_mgmt.invoice AS i
WHERE p.business_id = %(business_id)s
  AND i.business_id = p.business_id AND i.invoice_id = p.invoice_id AND i.total_amount > 0;
INSERT INTO tenant_mgmt.payment_attempt
    (business_id, payment_attempt_id, invoice_id, payment_method_id, attempt_no, amount, status,
     fee_amount, attempted_at, settled_at)
SELECT p.business_id, md5(p.payment_attempt_id || ' again')::uuid, p.invoice_id,
       p.payment_method_id, 2, p.amount, 'succeeded', p.fee_amount,
       p.attempted_at + interval '3 days', p.attempted_at + interval '5 days'
FROM tenant_mgmt.payment_attempt AS p
JOIN tenant_mgmt.invoice AS i ON i.business_id = p.business_id AND i.invoice_id = p.invoice_id
WHERE p.business_id = %(business_id)s
  AND p.status = 'failed' AND i.status = 'finalized'
  AND i.issued_on < (SELECT max(x.issued_on) - 120 FROM tenant_mgmt.invoice AS x
                     WHERE x.business_id = %(business_id)s);

-- What is left of purchased credits: the oldest are used up first.
UPDATE tenant_mgmt.wallet_transaction AS t
SET remaining_credits = greatest(0, least(t.credits, place.bought_until - w.consumed_credits))
FROM tenant_mgmt.credit_wallet AS w, (
    SELECT x.wallet_transaction_id,
           sum(x.credits) OVER (PARTITION BY x.credit_wallet_id
                                ORDER BY x.settled_at, x.wallet_transaction_id) AS bought_until
    FROM tenant_mgmt.wallet_transaction AS x
    WHERE x.business_id = %(business_id)s AND x.transaction_kind = 'purchase'
) AS place
WHERE t.business_id = %(business_id)s
  AND t.wallet_transaction_id = place.wallet_transaction_id
  AND w.business_id = t.business_id AND w.credit_wallet_id = t.credit_wallet_id;

-- Open cases are those of open invoices, the others were recovered.
UPDATE tenant_mgmt.dunning_case AS d
SET invoice_id = i.invoice_id
FROM (
    SELECT x.dunning_case_id, row_number() OVER (ORDER BY x.dunning_case_id) AS place
    FROM tenant_mgmt.dunning_case AS x
    JOIN tenant_mgmt.invoice AS bill
        ON bill.business_id = x.business_id AND bill.invoice_id = x.invoice_id
    WHERE x.business_id = %(business_id)s
      AND x.stage NOT IN ('recovered', 'written_off')
      AND bill.status NOT IN ('finalized', 'partially_paid')
) AS c
JOIN (
    SELECT x.invoice_id, row_number() OVER (ORDER BY x.due_on, x.invoice_id) AS place
    FROM tenant_mgmt.invoice AS x
    WHERE x.business_id = %(business_id)s
      AND x.status IN ('finalized', 'partially_paid')
      AND NOT EXISTS (SELECT FROM tenant_mgmt.dunning_case AS other
                      WHERE other.business_id = x.business_id
                        AND other.invoice_id = x.invoice_id
                        AND other.stage NOT IN ('recovered', 'written_off'))
) AS i USING (place)
WHERE d.business_id = %(business_id)s AND d.dunning_case_id = c.dunning_case_id;
UPDATE tenant_mgmt.dunning_case AS d
SET overdue_amount = state.total_amount,
    subscription_id = state.subscription_id,
    stage = CASE WHEN state.is_open THEN d.stage ELSE 'recovered' END,
    recovered_amount = CASE WHEN state.is_open THEN 0 ELSE state.total_amount END,
    recovered_at = CASE WHEN NOT state.is_open
                        THEN coalesce(d.recovered_at, d.opened_at + interval '9 days') END,
    closed_reason = CASE WHEN NOT state.is_open THEN 'paid' END,
    next_action_at = CASE WHEN state.is_open THEN d.next_action_at END
FROM (
    SELECT x.dunning_case_id, i.total_amount, i.subscription_id,
           x.stage <> 'recovered' AND i.status IN ('finalized', 'partially_paid') AS is_open
    FROM tenant_mgmt.dunning_case AS x
    JOIN tenant_mgmt.invoice AS i ON i.business_id = x.business_id AND i.invoice_id = x.invoice_id
    WHERE x.business_id = %(business_id)s AND i.total_amount > 0
) AS state
WHERE d.business_id = %(business_id)s AND d.dunning_case_id = state.dunning_case_id;
