-- Documents that only this industry numbers.
INSERT INTO system_core.number_sequence
    (business_id, number_sequence_id, sequence_code, prefix, next_value)
SELECT %(business_id)s, md5(%(business_id)s || s.code)::uuid, s.code, s.prefix, 100001
FROM (VALUES ('payment', 'PAY-'), ('credit_memo', 'CM-'), ('refund', 'REF-'), ('agreement', 'AGR-'))
    AS s (code, prefix)
ON CONFLICT DO NOTHING;

-- Every job that was invoiced has an invoice of that day, with its billable lines.
INSERT INTO hs.invoice
    (business_id, invoice_id, customer_id, service_location_id, work_order_id, invoice_number,
     invoice_kind, status, currency_code, customer_po_number, invoice_on, due_on, sent_at,
     created_at)
SELECT w.business_id, md5(w.work_order_id || ' invoice')::uuid, w.customer_id,
       w.service_location_id, w.work_order_id,
       'HI' || lpad(row_number() OVER (ORDER BY w.invoiced_at, w.work_order_id)::text, 6, '0'),
       'job', 'issued', b.currency_code, w.customer_po_number, w.invoiced_at::date,
       w.invoiced_at::date + c.payment_terms_days, w.invoiced_at + interval '5 minutes',
       w.invoiced_at
FROM hs.work_order AS w
JOIN hs.customer AS c ON c.business_id = w.business_id AND c.customer_id = w.customer_id
JOIN tenant_mgmt.business AS b ON b.business_id = w.business_id
WHERE w.business_id = %(business_id)s
  AND w.status IN ('invoiced', 'closed')
  AND w.invoiced_at IS NOT NULL
  AND (SELECT sum(l.line_total) FROM hs.work_order_line AS l
       WHERE l.business_id = w.business_id
         AND l.work_order_id = w.work_order_id
         AND l.is_billable
         AND l.voided_at IS NULL) > 0;
INSERT INTO hs.invoice_line
    (business_id, invoice_line_id, invoice_id, work_order_line_id, service_task_id, stock_item_id,
     tax_rate_id, line_no, description, line_qty, unit_price, unit_cost, discount_amount, tax_pct,
     tax_amount, coverage)
SELECT l.business_id, md5(l.work_order_line_id || ' billed')::uuid, i.invoice_id,
       l.work_order_line_id, l.service_task_id, l.stock_item_id,
       CASE WHEN tax.pct > 0 THEN x.tax_rate_id END,
       row_number() OVER (PARTITION BY i.invoice_id ORDER BY l.line_no), l.description,
       l.line_qty, l.unit_price, l.unit_cost, l.discount_amount, tax.pct,
       round(l.line_total * tax.pct / 100, 2), 'customer'
FROM hs.invoice AS i
JOIN hs.customer AS c ON c.business_id = i.business_id AND c.customer_id = i.customer_id
JOIN hs.work_order_line AS l
    ON l.business_id = i.business_id AND l.work_order_id = i.work_order_id
LEFT JOIN LATERAL hs.location_tax(
    i.business_id, i.service_location_id,
    CASE WHEN l.line_kind IN ('material', 'equipment') THEN 'parts' ELSE 'labor' END,
    i.invoice_on) AS x ON true
CROSS JOIN LATERAL (
    SELECT CASE WHEN c.is_tax_exempt THEN 0 ELSE coalesce(x.tax_pct, l.tax_pct) END AS pct
) AS tax
WHERE i.business_id = %(business_id)s
  AND l.is_billable
  AND l.voided_at IS NULL;

-- A bill to the wrong address was voided before the right one went out.
INSERT INTO hs.invoice
    (business_id, invoice_id, customer_id, service_location_id, work_order_id, invoice_number,
     invoice_kind, status, currency_code, void_reason, invoice_on, due_on, created_at)
SELECT i.business_id, md5(i.invoice_id || ' void')::uuid, i.customer_id, i.service_location_id,
       i.work_order_id, 'HV' || substr(i.invoice_number, 3), 'job', 'void', i.currency_code,
       'wrong address', i.invoice_on, i.due_on, i.created_at
FROM hs.invoice AS i
WHERE i.business_id = %(business_id)s AND right(i.invoice_number, 2) IN ('17', '67');

-- A project is billed for what of it is done; the deposit of the next one is drafted.
INSERT INTO hs.invoice
    (business_id, invoice_id, customer_id, service_location_id, project_id, invoice_number,
     invoice_kind, status, currency_code, invoice_on, due_on, sent_at)
SELECT p.business_id, md5(p.project_id || ' progress')::uuid, p.customer_id,
       p.service_location_id, p.project_id,
       'HP' || lpad(row_number() OVER (ORDER BY p.project_id)::text, 6, '0'),
       CASE WHEN p.billed_to_date_amount > 0 THEN 'progress' ELSE 'deposit' END,
       CASE WHEN p.billed_to_date_amount > 0 THEN 'issued' ELSE 'draft' END, b.currency_code,
       CASE WHEN p.billed_to_date_amount > 0 THEN p.starts_on + 10 END,
       CASE WHEN p.billed_to_date_amount > 0 THEN p.starts_on + 25 + c.payment_terms_days END,
       CASE WHEN p.billed_to_date_amount > 0 THEN p.starts_on + interval '10 days 15 hours' END
FROM hs.project AS p
JOIN hs.customer AS c ON c.business_id = p.business_id AND c.customer_id = p.customer_id
JOIN tenant_mgmt.business AS b ON b.business_id = p.business_id
WHERE p.business_id = %(business_id)s
  AND (p.billed_to_date_amount > 0 OR p.status IN ('permitting', 'scheduled'));
INSERT INTO hs.invoice_line
    (business_id, invoice_line_id, invoice_id, line_no, description, unit_price)
SELECT i.business_id, md5(i.invoice_id || ' line')::uuid, i.invoice_id, 1,
       CASE i.invoice_kind WHEN 'deposit' THEN 'Deposit' ELSE 'Work done to date' END,
       CASE i.invoice_kind WHEN 'deposit' THEN round(p.contract_amount * 0.3, 2)
                           ELSE p.billed_to_date_amount END
FROM hs.invoice AS i
JOIN hs.project AS p ON p.business_id = i.business_id AND p.project_id = i.project_id
WHERE i.business_id = %(business_id)s AND i.invoice_kind IN ('progress', 'deposit');

-- A closed job was paid when it was closed, a finished project two weeks after its bill; of the
-- others one in five is paid in part. One customer in thirty rounds up, and the rest stays on
-- account.
INSERT INTO hs.payment
    (business_id, payment_id, customer_id, collected_by_technician_id, payment_number, method,
     status, currency_code, paid_amount, processor_fee, processor_ref, check_number,
     idempotency_key, paid_at, settled_on, created_at)
SELECT x.business_id, md5(x.invoice_id || ' payment')::uuid, x.customer_id,
       CASE WHEN x.place %% 2 = 0 AND x.is_at_once
            THEN tech.ids[1 + x.place %% cardinality(tech.ids)] END,
       'P' || lpad(x.place::text, 6, '0'), x.method,
       CASE WHEN money.at < newest.moment - interval '5 days' THEN 'settled' ELSE 'captured' END,
       x.currency_code, x.amount,
       CASE WHEN x.method = 'card' THEN round(x.amount * 0.029 + 0.30, 2) ELSE 0 END,
       CASE WHEN x.method IN ('card', 'ach', 'financing') THEN 'ch_' || md5(x.invoice_id::text) END,
       CASE WHEN x.method = 'check' THEN (1000 + x.place)::text END,
       'fill-' || x.invoice_id, money.at,
       CASE WHEN money.at < newest.moment - interval '5 days' THEN money.at::date + 2 END,
       money.at
FROM (
    SELECT i.*, p.place, p.is_at_once,
           CASE WHEN w.status = 'closed' OR j.status = 'complete'
                THEN i.total_amount + CASE WHEN p.place %% 30 = 7 THEN 20 ELSE 0 END
                ELSE round(i.total_amount * (30 + p.place %% 40) / 100, 2) END AS amount,
           CASE WHEN w.status = 'closed' THEN w.closed_at
                WHEN w.status = 'invoiced' THEN w.invoiced_at + interval '3 hours'
                ELSE i.invoice_on + interval '14 days 16 hours' END AS moment,
           CASE WHEN i.total_amount > 3000 AND p.place %% 3 = 0 THEN 'financing'
                WHEN p.place %% 50 < 31 THEN 'card' WHEN p.place %% 50 < 40 THEN 'check'
                WHEN p.place %% 50 < 45 THEN 'ach' WHEN p.place %% 50 < 48 THEN 'cash'
                WHEN p.place %% 50 = 48 THEN 'wire' ELSE 'gift_card' END AS method
    FROM hs.invoice AS i
    LEFT JOIN hs.work_order AS w
        ON w.business_id = i.business_id AND w.work_order_id = i.work_order_id
    LEFT JOIN hs.project AS j ON j.business_id = i.business_id AND j.project_id = i.project_id
    JOIN (
        SELECT y.invoice_id, row_number() OVER (ORDER BY y.invoice_on, y.invoice_id) AS place,
               y.due_on = y.invoice_on AS is_at_once
        FROM hs.invoice AS y
        WHERE y.business_id = %(business_id)s AND y.status = 'issued'
    ) AS p ON p.invoice_id = i.invoice_id
    WHERE i.business_id = %(business_id)s
      AND i.status = 'issued'
      AND i.total_amount > 0
      AND (w.status = 'closed' OR j.status = 'complete' OR p.place %% 5 = 2)
) AS x
CROSS JOIN (SELECT coalesce(max(w.started_at), %(as_of)s) AS moment FROM hs.work_order AS w
            WHERE w.business_id = %(business_id)s) AS newest
CROSS JOIN (SELECT array_agg(t.technician_id ORDER BY t.employee_number) AS ids
            FROM hs.technician AS t WHERE t.business_id = %(business_id)s) AS tech
CROSS JOIN LATERAL (SELECT least(x.moment, newest.moment) AS at) AS money;

-- Each payment pays its invoice; a check that is cents short is taken for the whole.
INSERT INTO hs.payment_allocation
    (business_id, payment_allocation_id, payment_id, invoice_id, allocation_seq, allocation_kind,
     allocated_amount, allocated_at, created_at)
SELECT p.business_id, md5(p.payment_id || ' ' || a.kind)::uuid, p.payment_id, i.invoice_id, a.seq,
       a.kind, a.amount, p.paid_at, p.paid_at
FROM hs.payment AS p
JOIN hs.invoice AS i
    ON i.business_id = p.business_id AND i.invoice_id = substr(p.idempotency_key, 6)::uuid
CROSS JOIN LATERAL (
    SELECT CASE WHEN p.method = 'check' AND i.total_amount <= p.paid_amount
                     AND right(p.payment_number, 1) = '4' THEN 0.37 ELSE 0 END AS short
) AS s
CROSS JOIN LATERAL (
    VALUES ('normal', 1, least(p.paid_amount, i.total_amount) - s.short),
           ('write_off', 2, s.short)
) AS a (kind, seq, amount)
WHERE p.business_id = %(business_id)s
  AND p.idempotency_key LIKE 'fill-%%'
  AND a.amount > 0;

-- One payment in twenty-five goes back in part, with a credit for what was charged too much; a few
-- requests for a refund wait or were declined.
INSERT INTO hs.refund
    (business_id, refund_id, payment_id, invoice_id, refund_number, reason, status,
     refund_amount, requested_at, approved_at, processed_at, created_at)
SELECT p.business_id, md5(p.payment_id || ' refund')::uuid, p.payment_id, p.invoice_id,
       'R' || lpad(p.place::text, 6, '0'),
       (ARRAY['overcharge', 'quality', 'goodwill'])[1 + p.place %% 3],
       CASE WHEN p.place %% 50 = 4 THEN 'requested' WHEN p.place %% 50 = 29 THEN 'declined'
            ELSE 'processed' END,
       least(25, round(p.allocated_amount / 2, 2)), p.paid_at + interval '2 hours',
       CASE WHEN p.place %% 25 <> 4 THEN p.paid_at + interval '3 hours' END,
       CASE WHEN p.place %% 25 <> 4 THEN p.paid_at + interval '4 hours' END,
       p.paid_at + interval '2 hours'
FROM (
    SELECT y.*, a.invoice_id, row_number() OVER (ORDER BY y.paid_at, y.payment_id) AS place
    FROM hs.payment AS y
    JOIN hs.payment_allocation AS a
        ON a.business_id = y.business_id AND a.payment_id = y.payment_id
        AND a.allocation_seq = 1
    WHERE y.business_id = %(business_id)s AND y.allocated_amount > 10
) AS p
WHERE p.place %% 25 IN (3, 4);
INSERT INTO hs.credit_memo
    (business_id, credit_memo_id, customer_id, invoice_id, credit_number, reason, status,
     credit_amount, applied_amount, approval_note, issued_on, created_at)
SELECT r.business_id, md5(r.refund_id || ' credit')::uuid, i.customer_id, i.invoice_id,
       'C' || substr(r.refund_number, 2),
       CASE r.reason WHEN 'overcharge' THEN 'billing_error' ELSE r.reason END, 'applied',
       r.refund_amount, r.refund_amount, 'Refunded', r.processed_at::date, r.processed_at
FROM hs.refund AS r
JOIN hs.invoice AS i ON i.business_id = r.business_id AND i.invoice_id = r.invoice_id
WHERE r.business_id = %(business_id)s AND r.status = 'processed';

-- Goodwill to be used on a later bill, and what lapsed of it.
INSERT INTO hs.credit_memo
    (business_id, credit_memo_id, customer_id, credit_number, reason, status, credit_amount,
     approval_note, issued_on, expires_on)
SELECT i.business_id, md5(i.invoice_id || ' goodwill')::uuid, i.customer_id,
       'G' || substr(i.invoice_number, 3), 'goodwill',
       CASE WHEN i.invoice_on < newest.day - 180 THEN 'expired' ELSE 'open' END, 30,
       'For the long wait', i.invoice_on, i.invoice_on + 180
FROM hs.invoice AS i
CROSS JOIN (SELECT max(x.invoice_on) AS day FROM hs.invoice AS x
            WHERE x.business_id = %(business_id)s) AS newest
WHERE i.business_id = %(business_id)s
  AND i.invoice_kind = 'job'
  AND i.status <> 'void'
  AND right(i.invoice_number, 2) IN ('09', '49', '89');

-- What was paid was paid when the money came; what is open past its day is overdue.
UPDATE hs.invoice AS i
SET paid_at = (SELECT max(a.allocated_at) FROM hs.payment_allocation AS a
               WHERE a.business_id = i.business_id AND a.invoice_id = i.invoice_id)
WHERE i.business_id = %(business_id)s AND i.status = 'paid';
UPDATE hs.invoice AS i
SET status = 'overdue'
WHERE i.business_id = %(business_id)s
  AND i.status IN ('issued', 'partially_paid')
  AND i.open_balance > 0
  AND i.due_on < (SELECT max(x.invoice_on) FROM hs.invoice AS x
                  WHERE x.business_id = %(business_id)s);
