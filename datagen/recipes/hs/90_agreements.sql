SET LOCAL app.business_id = %(business_id)s;

-- Agreements are where their work was done: jobs under an agreement name the location, and began
-- some months before.
UPDATE hs.agreement AS a
SET service_location_id = w.service_location_id, customer_id = w.customer_id,
    starts_on = w.done_on - w.days, ends_on = (w.done_on - w.days + interval '12 months')::date - 1,
    renewal_notice_on = (w.done_on - w.days + interval '12 months')::date - 31,
    signed_at = (w.done_on - w.days)::timestamp - interval '20 hours'
FROM (
    SELECT x.agreement_id, row_number() OVER (ORDER BY x.agreement_number) AS place
    FROM hs.agreement AS x
    WHERE x.business_id = %(business_id)s AND x.signed_at IS NOT NULL
) AS mine
JOIN (
    SELECT d.*, row_number() OVER (ORDER BY d.done_on, d.service_location_id) AS place,
           (20 + row_number() OVER (ORDER BY d.done_on, d.service_location_id) * 53 %% 250)::integer
               AS days
    FROM (
        SELECT j.service_location_id, min(j.customer_id::text)::uuid AS customer_id,
               min(j.completed_at)::date AS done_on
        FROM hs.work_order AS j
        WHERE j.business_id = %(business_id)s
          AND j.source = 'agreement'
          AND j.completed_at IS NOT NULL
        GROUP BY j.service_location_id
    ) AS d
) AS w USING (place)
WHERE a.business_id = %(business_id)s AND a.agreement_id = mine.agreement_id;

-- A stored card of the customer is charged where there is one.
UPDATE hs.agreement AS a
SET stored_payment_method_id = m.stored_payment_method_id
FROM hs.stored_payment_method AS m
WHERE a.business_id = %(business_id)s
  AND m.business_id = a.business_id
  AND m.customer_id = a.customer_id
  AND m.is_default
  AND m.status = 'active';

-- One plan per location at a time: of two at the same place the later stays pending.
SELECT hs.activate_agreement(x.agreement_id)
FROM (
    SELECT DISTINCT ON (a.service_location_id, a.agreement_plan_id) a.agreement_id
    FROM hs.agreement AS a
    WHERE a.business_id = %(business_id)s AND a.signed_at IS NOT NULL
    ORDER BY a.service_location_id, a.agreement_plan_id, a.starts_on
) AS x;

-- Active equipment of the location is covered, all of it or the first two pieces.
INSERT INTO hs.agreement_equipment
    (business_id, agreement_equipment_id, agreement_id, installed_equipment_id, coverage_level,
     annual_coverage_limit, used_coverage_amount, added_on)
SELECT e.business_id, md5(a.agreement_id || '-' || e.installed_equipment_id)::uuid,
       a.agreement_id, e.installed_equipment_id,
       CASE p.plan_kind WHEN 'full_coverage' THEN 'parts_and_labor' ELSE 'maintenance' END,
       CASE p.plan_kind WHEN 'full_coverage' THEN 2500 END,
       CASE p.plan_kind WHEN 'full_coverage' THEN 180 ELSE 0 END, a.starts_on
FROM hs.agreement AS a
JOIN hs.agreement_plan AS p
    ON p.business_id = a.business_id AND p.agreement_plan_id = a.agreement_plan_id
JOIN LATERAL (
    SELECT i.* FROM hs.installed_equipment AS i
    WHERE i.business_id = a.business_id
      AND i.service_location_id = a.service_location_id
      AND i.status = 'active'
      AND i.installed_on <= a.starts_on
    ORDER BY i.asset_tag
    LIMIT 2
) AS e ON true
WHERE a.business_id = %(business_id)s;

-- A job under an agreement did the visit that was due next to it; it goes from owed over scheduled
-- to done, as it does on the board.
UPDATE hs.agreement_visit AS v
SET status = 'scheduled', work_order_id = w.work_order_id, scheduled_on = w.done_on,
    contact_attempt_count = 1, reminder_sent_at = w.done_on - interval '9 days'
FROM (
    SELECT DISTINCT ON (x.agreement_visit_id) x.agreement_visit_id, j.work_order_id,
           j.completed_at::date AS done_on
    FROM (
        SELECT DISTINCT ON (j.work_order_id) j.work_order_id, y.agreement_visit_id
        FROM hs.work_order AS j
        JOIN hs.agreement AS a
            ON a.business_id = j.business_id
            AND a.service_location_id = j.service_location_id
            AND j.completed_at::date BETWEEN a.starts_on AND a.ends_on
        JOIN hs.agreement_visit AS y
            ON y.business_id = a.business_id AND y.agreement_id = a.agreement_id
        WHERE j.business_id = %(business_id)s
          AND j.source = 'agreement'
          AND j.completed_at IS NOT NULL
        ORDER BY j.work_order_id, abs(j.completed_at::date - y.due_on), y.agreement_visit_id
    ) AS x
    JOIN hs.work_order AS j
        ON j.business_id = %(business_id)s AND j.work_order_id = x.work_order_id
    ORDER BY x.agreement_visit_id, j.completed_at
) AS w
WHERE v.business_id = %(business_id)s AND v.agreement_visit_id = w.agreement_visit_id;
UPDATE hs.agreement_visit AS v
SET status = 'done', completed_on = v.scheduled_on
WHERE v.business_id = %(business_id)s AND v.status = 'scheduled';
UPDATE hs.work_order AS w
SET agreement_id = a.agreement_id
FROM hs.agreement AS a
WHERE w.business_id = %(business_id)s
  AND w.source = 'agreement'
  AND a.business_id = w.business_id
  AND a.service_location_id = w.service_location_id
  AND a.status = 'active'
  AND w.completed_at::date BETWEEN a.starts_on AND a.ends_on;

-- Some customers did not want the visit; the office called the others.
UPDATE hs.agreement_visit AS v
SET status = 'skipped', skip_reason = 'customer declined'
FROM (
    SELECT x.agreement_visit_id, row_number() OVER (ORDER BY x.agreement_visit_id) AS place
    FROM hs.agreement_visit AS x
    WHERE x.business_id = %(business_id)s
      AND x.status = 'owed'
      AND x.window_end_on < (SELECT max(w.started_at)::date - 30 FROM hs.work_order AS w
                             WHERE w.business_id = %(business_id)s)
) AS p
WHERE v.business_id = %(business_id)s
  AND v.agreement_visit_id = p.agreement_visit_id
  AND p.place %% 3 = 0;
UPDATE hs.agreement_visit AS v
SET contact_attempt_count = 2, reminder_sent_at = v.window_start_on + interval '15 hours'
WHERE v.business_id = %(business_id)s
  AND v.status = 'owed'
  AND v.window_start_on < (SELECT max(w.started_at)::date FROM hs.work_order AS w
                           WHERE w.business_id = %(business_id)s);

-- Installments are billed every other week since the first agreement began, and paid three days
-- later, by the stored card or a bank transfer; those of the last weeks are open.
SELECT hs.bill_agreements(d::date)
FROM generate_series(
    (SELECT min(a.starts_on) FROM hs.agreement AS a
     WHERE a.business_id = %(business_id)s AND a.status = 'active'),
    (SELECT max(w.started_at)::date FROM hs.work_order AS w
     WHERE w.business_id = %(business_id)s),
    '14 days') AS d;
INSERT INTO hs.payment
    (business_id, payment_id, customer_id, stored_payment_method_id, payment_number, method,
     status, currency_code, paid_amount, idempotency_key, paid_at, settled_on, created_at)
SELECT i.business_id, md5(i.invoice_id || ' payment')::uuid, i.customer_id,
       a.stored_payment_method_id,
       'PA' || lpad(row_number() OVER (ORDER BY i.invoice_on, a.agreement_number)::text,
                    6, '0'),
       coalesce(m.method_kind, 'ach'), 'settled', i.currency_code, i.total_amount,
       'fill-' || i.invoice_id, i.invoice_on + interval '3 days 15 hours', i.invoice_on + 5,
       i.invoice_on + interval '3 days 15 hours'
FROM hs.invoice AS i
JOIN hs.agreement AS a ON a.business_id = i.business_id AND a.agreement_id = i.agreement_id
LEFT JOIN hs.stored_payment_method AS m
    ON m.business_id = a.business_id
    AND m.stored_payment_method_id = a.stored_payment_method_id
WHERE i.business_id = %(business_id)s
  AND i.invoice_kind = 'agreement'
  AND i.status = 'issued'
  AND i.invoice_on < (SELECT max(w.started_at)::date - 10 FROM hs.work_order AS w
                      WHERE w.business_id = %(business_id)s)
  AND ascii(right(md5(a.agreement_number || i.invoice_on), 1)) %% 16 <> 0;
INSERT INTO hs.payment_allocation
    (business_id, payment_allocation_id, payment_id, invoice_id, allocated_amount, allocated_at,
     created_at)
SELECT p.business_id, md5(p.payment_id || ' normal')::uuid, p.payment_id, i.invoice_id,
       p.paid_amount, p.paid_at, p.paid_at
FROM hs.payment AS p
JOIN hs.invoice AS i
    ON i.business_id = p.business_id AND i.invoice_id = substr(p.idempotency_key, 6)::uuid
WHERE p.business_id = %(business_id)s
  AND p.payment_number LIKE 'PA0%%'
  AND i.invoice_kind = 'agreement';
UPDATE hs.invoice AS i
SET paid_at = i.invoice_on + interval '3 days 15 hours',
    sent_at = i.invoice_on + interval '14 hours'
WHERE i.business_id = %(business_id)s AND i.invoice_kind = 'agreement' AND i.status = 'paid';
UPDATE hs.agreement_billing AS b
SET paid_at = i.paid_at, attempt_count = 1, last_attempt_at = i.paid_at
FROM hs.invoice AS i
WHERE b.business_id = %(business_id)s
  AND b.status = 'paid'
  AND i.business_id = b.business_id
  AND i.invoice_id = b.invoice_id;
UPDATE hs.invoice AS i
SET status = 'overdue'
WHERE i.business_id = %(business_id)s
  AND i.invoice_kind = 'agreement'
  AND i.status = 'issued'
  AND i.due_on < (SELECT max(w.started_at)::date FROM hs.work_order AS w
                  WHERE w.business_id = %(business_id)s);

-- What cannot be charged any more is suspended; a few gave up; old terms are over.
UPDATE hs.agreement AS a
SET status = 'suspended'
WHERE a.business_id = %(business_id)s
  AND a.status = 'active'
  AND EXISTS (
      SELECT FROM hs.invoice AS i
      WHERE i.business_id = a.business_id
        AND i.agreement_id = a.agreement_id
        AND i.status = 'overdue'
        AND i.due_on < a.ends_on - 30)
  AND ascii(right(a.agreement_number, 1)) %% 3 = 0;
SELECT hs.cancel_agreement(a.agreement_id, 'moved away', a.starts_on + 150)
FROM hs.agreement AS a
WHERE a.business_id = %(business_id)s
  AND a.status = 'active'
  AND right(a.agreement_number, 1) IN ('3', '8')
  AND a.starts_on + 150 < (SELECT max(w.started_at)::date FROM hs.work_order AS w
                           WHERE w.business_id = %(business_id)s)
  AND NOT EXISTS (
      SELECT FROM hs.agreement_billing AS b
      WHERE b.business_id = a.business_id
        AND b.agreement_id = a.agreement_id
        AND b.due_on > a.starts_on + 150);
SELECT hs.expire_agreements((SELECT max(w.started_at)::date FROM hs.work_order AS w
                             WHERE w.business_id = %(business_id)s));

-- What was open for half a year is given up.
UPDATE hs.invoice AS i
SET status = 'written_off'
WHERE i.business_id = %(business_id)s
  AND i.invoice_kind = 'agreement'
  AND i.status = 'overdue'
  AND i.due_on < (SELECT max(w.started_at)::date - 180 FROM hs.work_order AS w
                  WHERE w.business_id = %(business_id)s);

-- The books of every month until the last whole one.
SELECT hs.recognize_agreement_revenue(m::date)
FROM generate_series(
    (SELECT date_trunc('month', min(a.starts_on)) FROM hs.agreement AS a
     WHERE a.business_id = %(business_id)s),
    (SELECT date_trunc('month', max(w.started_at)) - interval '1 month' FROM hs.work_order AS w
     WHERE w.business_id = %(business_id)s),
    '1 month') AS m;
