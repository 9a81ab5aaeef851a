-- A collection worker claims due cases, for a second, with what they can be collected from.
-- budget: p95 80ms
-- weight: 1
-- mode: write
-- rows: >=0
WITH due AS (
    SELECT d.dunning_case_id, d.invoice_id
    FROM tenant_mgmt.dunning_case AS d
    WHERE d.business_id = %(business_id)s
        AND d.stage NOT IN ('written_off', 'recovered')
        AND d.next_action_at <= now()
    ORDER BY d.next_action_at
    LIMIT 20
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE tenant_mgmt.dunning_case AS d
    -- Long enough to try; a case that nobody settled is due again then.
    SET next_action_at = now() + interval '1 second'
    FROM due
    WHERE d.business_id = %(business_id)s AND d.dunning_case_id = due.dunning_case_id
    RETURNING d.business_id, d.dunning_case_id, d.invoice_id, d.overdue_amount
)
SELECT c.business_id, c.dunning_case_id, i.invoice_number, c.overdue_amount, m.payment_method_id
FROM claimed AS c
JOIN tenant_mgmt.invoice AS i
    ON i.business_id = %(business_id)s AND i.invoice_id = c.invoice_id
LEFT JOIN tenant_mgmt.payment_method AS m
    ON m.business_id = %(business_id)s AND m.is_default AND m.status = 'active'
