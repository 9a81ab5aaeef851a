SELECT tenant_mgmt.set_tenant(%(business_id)s);

-- A home and an account that came by self service were asked for; so was every certificate after
-- the first. The rest has left its trace in the request only.
INSERT INTO payroll.profile_change_request
    (business_id, profile_change_request_id, employee_id, reviewed_by, change_kind, requested_at,
     old_values, new_values, effective_on, risk_level, step_up_passed, status, reviewed_at,
     rejection_reason, confirmation_sent_to, applied_at)
SELECT e.business_id, md5('request ' || w.source)::uuid, e.employee_id,
       CASE WHEN w.status IN ('approved', 'rejected') THEN u.user_account_id END, w.kind,
       w.requested_at, w.old_values, w.new_values, w.effective_on, w.risk,
       w.kind = 'bank_account', w.status,
       CASE WHEN w.status IN ('approved', 'rejected', 'auto_approved') THEN t.reviewed_at END,
       CASE WHEN w.status = 'rejected' THEN 'The certificate of the court is missing' END,
       coalesce(e.email, e.mobile_phone),
       CASE WHEN w.status IN ('approved', 'auto_approved') THEN t.reviewed_at END
FROM payroll.employee AS e
JOIN (
    SELECT r.employee_id, 'home ' || r.employee_residence_id AS source, 'address' AS kind,
           r.effective_from::timestamp AT TIME ZONE 'UTC' - interval '5 days 9 hours'
               AS requested_at,
           '{}'::jsonb AS old_values,
           jsonb_strip_nulls(jsonb_build_object(
               'line1', a.line1, 'city', a.city, 'region_code', r.state_code,
               'postal_code', a.postal_code)) AS new_values,
           r.effective_from AS effective_on, 'medium' AS risk, 'approved' AS status
    FROM payroll.employee_residence AS r
    JOIN system_core.postal_address AS a
        ON a.business_id = r.business_id AND a.postal_address_id = r.postal_address_id
    WHERE r.business_id = %(business_id)s AND r.source = 'self_service'
    UNION ALL
    SELECT b.employee_id, 'account ' || b.employee_bank_account_id, 'bank_account',
           coalesce(b.prenote_sent_on, %(as_of)s::date - 400)::timestamp AT TIME ZONE 'UTC'
           - interval '1 day 10 hours',
           '{}', jsonb_build_object('account_token', b.account_token,
                                    'routing_number', b.routing_number, 'last4', b.last4,
                                    'account_kind', b.account_kind),
           coalesce(b.prenote_sent_on, %(as_of)s::date - 400), 'high', 'approved'
    FROM payroll.employee_bank_account AS b
    WHERE b.business_id = %(business_id)s AND b.added_by = 'self_service'
    UNION ALL
    SELECT w.employee_id, 'certificate ' || w.withholding_election_id, 'withholding',
           w.signed_at - interval '26 hours', jsonb_build_object('filing_status', f.filing_status),
           jsonb_build_object('filing_status', w.filing_status,
                              'extra_withholding_amount', w.extra_withholding_amount),
           w.effective_from, 'medium', 'approved'
    FROM payroll.withholding_election AS w
    JOIN payroll.withholding_election AS f
        ON f.business_id = w.business_id AND f.employee_id = w.employee_id
       AND f.tax_jurisdiction_id = w.tax_jurisdiction_id
       AND f.effective_until = w.effective_from
    WHERE w.business_id = %(business_id)s
      AND w.signed_at + interval '1 day' < %(as_of)s::timestamptz
    UNION ALL
    SELECT x.employee_id, concat_ws(' ', k.kind, k.source, x.employee_id), k.kind, m.asked,
           k.old_values::jsonb, k.new_values::jsonb,
           (m.asked AT TIME ZONE 'UTC')::date + k.days, k.risk, k.status
    FROM (
        SELECT y.employee_id,
               row_number() OVER (ORDER BY hashtextextended(y.employee_id::text, 60)) AS place
        FROM payroll.employee AS y
        WHERE y.business_id = %(business_id)s AND y.status IN ('active', 'on_leave', 'rehired')
    ) AS x
    JOIN (VALUES
        (4, 0, 'a', 'emergency_contact', 120, 0, 'low', 'auto_approved',
         '{"name": "Chris", "phone": "+13125550101"}', '{"name": "Sam", "phone": "+13125550144"}'),
        (4, 1, 'b', 'emergency_contact', 45, 0, 'low', 'auto_approved', '{}',
         '{"name": "Robin", "phone": "+13125550177"}'),
        (6, 2, 'c', 'phone', 75, 0, 'medium', 'withdrawn', '{}',
         '{"mobile_phone": "+13125550123"}'),
        (9, 3, 'd', 'legal_name', 60, 5, 'medium', 'rejected', '{}', '{"last_name": "Morgan"}'),
        (9, 5, 'e', 'dependents', 2, 1, 'medium', 'in_review', '{"count": 1}', '{"count": 2}'),
        (12, 0, 'f', 'bank_account', 1, 3, 'high', 'submitted', '{}',
         '{"account_token": "tok_new", "routing_number": "021000021", "last4": "8841"}'),
        (12, 6, 'g', 'address', 3, 10, 'medium', 'submitted', '{}',
         '{"line1": "14 Elm Street", "city": "Oak Park", "region_code": "IL",
           "postal_code": "60302"}')
    ) AS k (every, rest, source, kind, age, days, risk, status, old_values, new_values)
        ON x.place %% k.every = k.rest
    CROSS JOIN LATERAL (
        SELECT %(as_of)s::timestamptz
               - make_interval(days => k.age, hours => (x.place %% 7)::integer + 3) AS asked
    ) AS m
) AS w ON w.employee_id = e.employee_id
CROSS JOIN LATERAL (
    SELECT CASE WHEN w.status = 'auto_approved' THEN w.requested_at
                ELSE w.requested_at + make_interval(
                    mins => (200 + abs(hashtextextended(w.source, 60) %% 900))::integer) END
               AS reviewed_at
) AS t
CROSS JOIN LATERAL (
    -- Somebody of the office, and nobody themselves.
    SELECT x.user_account_id
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = e.business_id AND x.account_kind = 'staff'
      AND x.user_account_id IS DISTINCT FROM e.user_account_id
    ORDER BY x.status <> 'active', x.user_account_id
    LIMIT 1
) AS u
WHERE e.business_id = %(business_id)s;

-- The steps of joining, when they were done: forms as their own tables say.
INSERT INTO payroll.onboarding_task
    (business_id, onboarding_task_id, employee_id, assigned_to, checklist, task_code, sequence_no,
     due_on, state, completed_at, blocks_first_pay, reminder_count, form_data)
SELECT s.business_id, md5(concat_ws(' ', t.checklist, t.task_code, s.employee_id))::uuid,
       s.employee_id, CASE WHEN t.by_office THEN u.user_account_id END, t.checklist, t.task_code,
       t.sequence_no, d.first_day + t.days, c.state, CASE WHEN c.state = 'done' THEN c.done_at END,
       t.blocks, CASE WHEN c.state = 'overdue' THEN 3
                      WHEN c.done_at > (d.first_day + t.days + 1)::timestamp AT TIME ZONE 'UTC'
                      THEN 1 ELSE 0 END,
       CASE WHEN t.task_code = 'exit_interview' AND c.state = 'done'
            THEN jsonb_build_object('would_come_back', n.place %% 3 <> 0)
            WHEN t.task_code = 'handbook' AND c.state = 'done'
            THEN jsonb_build_object('version', '2026-01', 'accepted', true) ELSE '{}' END
FROM (
    SELECT DISTINCT ON (x.employee_id) x.*
    FROM payroll.employment_spell AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.employee_id, x.hired_on DESC
) AS s
JOIN payroll.employee AS e ON e.business_id = s.business_id AND e.employee_id = s.employee_id
JOIN (VALUES
    ('onboarding', 1, 'personal_data', -3, -5, true, false),
    ('onboarding', 2, 'i9_section1', 0, 0, true, false),
    ('onboarding', 3, 'w4', 0, 0, false, false),
    ('onboarding', 4, 'state_w4', 0, 0, false, false),
    ('onboarding', 5, 'i9_section2', 3, 2, false, true),
    ('onboarding', 6, 'direct_deposit', 5, 2, false, false),
    ('onboarding', 7, 'handbook', 7, 4, false, false),
    ('onboarding', 8, 'equipment', 1, 0, false, true),
    ('onboarding', 9, 'benefits', 30, 21, false, false),
    ('offboarding', 1, 'final_pay', 0, 0, false, true),
    ('offboarding', 2, 'equipment', 0, 0, false, true),
    ('offboarding', 3, 'exit_interview', 0, -1, false, true),
    ('offboarding', 4, 'cobra_notice', 44, 20, false, true)
) AS t (checklist, sequence_no, task_code, days, usual, blocks, by_office)
    ON t.checklist = 'onboarding' OR s.terminated_on IS NOT NULL
CROSS JOIN LATERAL (
    SELECT CASE t.checklist WHEN 'onboarding' THEN s.hired_on ELSE s.terminated_on END AS first_day
) AS d
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(t.task_code || s.employee_id, 60) %% 100) AS place
) AS n
LEFT JOIN LATERAL (
    SELECT x.section1_signed_on, x.section2_signed_on
    FROM payroll.employment_eligibility AS x
    WHERE x.business_id = s.business_id AND x.employee_id = s.employee_id
    ORDER BY x.section1_signed_on DESC NULLS LAST
    LIMIT 1
) AS i ON true
CROSS JOIN LATERAL (
    SELECT CASE t.task_code WHEN 'i9_section1' THEN coalesce(i.section1_signed_on, s.hired_on)
                            WHEN 'i9_section2' THEN coalesce(i.section2_signed_on, s.hired_on + 2)
                            ELSE d.first_day + t.usual + (n.place %% 3)::integer END
           ::timestamp AT TIME ZONE 'UTC'
           + make_interval(hours => 14, mins => (n.place %% 60)::integer) AS done_at
) AS w
CROSS JOIN LATERAL (
    SELECT w.done_at,
           CASE
               WHEN t.task_code = 'direct_deposit' AND NOT EXISTS (
                   SELECT
                   FROM payroll.employee_bank_account AS b
                   WHERE b.business_id = s.business_id AND b.employee_id = s.employee_id)
               THEN 'waived'
               WHEN t.task_code IN ('handbook', 'equipment', 'exit_interview') AND n.place < 6
                    AND d.first_day + t.days < (%(as_of)s::timestamptz AT TIME ZONE 'UTC')::date
               THEN 'overdue'
               WHEN t.task_code IN ('exit_interview', 'benefits') AND n.place < 15 THEN 'waived'
               WHEN w.done_at <= %(as_of)s THEN 'done' ELSE 'open' END AS state
) AS c
CROSS JOIN LATERAL (
    SELECT x.user_account_id
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = s.business_id AND x.account_kind = 'staff'
      AND x.user_account_id IS DISTINCT FROM e.user_account_id
    ORDER BY x.status <> 'active', x.user_account_id
    LIMIT 1
) AS u
WHERE d.first_day <= (%(as_of)s::timestamptz AT TIME ZONE 'UTC')::date;

-- Most agree to electronic delivery in their first week; one in eight goes back to paper later.
INSERT INTO payroll.delivery_consent
    (business_id, delivery_consent_id, employee_id, document_kind, is_electronic, consented_at,
     withdrawn_at, disclosure_version, demonstrated_access, email_used, ip_address)
SELECT e.business_id, md5(concat_ws(' ', 'consent', k.kind, e.employee_id))::uuid, e.employee_id,
       k.kind, n.place < k.agree, c.consented_at,
       CASE WHEN n.place < k.agree AND n.place %% 8 = 0
             AND c.consented_at + interval '300 days' < %(as_of)s
            THEN c.consented_at + interval '300 days' END,
       '2024-01', n.place < k.agree, e.email,
       ('10.' || n.place || '.' || abs(hashtextextended(e.employee_id::text, 61) %% 250) || '.7')
       ::inet
FROM payroll.employee AS e
JOIN (
    SELECT s.employee_id, min(s.hired_on) AS hired_on
    FROM payroll.employment_spell AS s
    WHERE s.business_id = %(business_id)s
    GROUP BY s.employee_id
) AS h ON h.employee_id = e.employee_id
CROSS JOIN (VALUES ('pay_stub', 90), ('w2', 70), ('1095c', 55), ('benefit_notice', 60))
    AS k (kind, agree)
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(k.kind || e.employee_id, 62) %% 100) AS place
) AS n
CROSS JOIN LATERAL (
    SELECT h.hired_on::timestamp AT TIME ZONE 'UTC'
           + make_interval(days => (n.place %% 5)::integer, hours => 16) AS consented_at
) AS c
WHERE e.business_id = %(business_id)s AND c.consented_at <= %(as_of)s;

-- Who had consented by then got the form of the year electronically.
UPDATE payroll.wage_statement AS w
SET delivery = 'electronic'
WHERE w.business_id = %(business_id)s AND w.form_kind IN ('w2', 'w2c')
  AND w.status IN ('furnished', 'transmitted', 'accepted', 'corrected') AND EXISTS (
      SELECT
      FROM payroll.delivery_consent AS c
      WHERE c.business_id = w.business_id AND c.employee_id = w.employee_id
        AND c.document_kind = 'w2' AND c.is_electronic
        AND c.consented_at < w.furnished_on::timestamp AT TIME ZONE 'UTC'
        AND (c.withdrawn_at IS NULL
             OR (c.withdrawn_at AT TIME ZONE 'UTC')::date > w.furnished_on));

-- What is published: stubs of the last 400 days, year-end forms, an offer, two policies.
CREATE TEMPORARY TABLE published ON COMMIT DROP AS
SELECT x.*, abs(hashtextextended(x.source, 64) %% 100) AS place
FROM (
    SELECT p.employee_id, 'stub ' || p.paycheck_id AS source, 'pay_stub' AS kind,
           'Pay stub of ' || p.check_date AS title, p.paycheck_id,
           NULL::uuid AS wage_statement_id, NULL::integer AS tax_year, false AS signs,
           p.check_date::timestamp AT TIME ZONE 'UTC' + interval '11 hours' AS published_at,
           interval '4 years' AS stays
    FROM payroll.paycheck AS p
    WHERE p.business_id = %(business_id)s AND p.status <> 'draft'
      AND p.check_date > (%(as_of)s::timestamptz AT TIME ZONE 'UTC')::date - 400
    UNION ALL
    SELECT w.employee_id, 'form ' || w.wage_statement_id, 'w2',
           upper(w.form_kind) || ' of ' || w.tax_year, NULL, w.wage_statement_id, w.tax_year,
           false, w.furnished_on::timestamp AT TIME ZONE 'UTC' + interval '15 hours', NULL
    FROM payroll.wage_statement AS w
    WHERE w.business_id = %(business_id)s AND w.employee_id IS NOT NULL
      AND w.status IN ('furnished', 'transmitted', 'accepted', 'corrected')
    UNION ALL
    SELECT s.employee_id, 'offer ' || s.employment_spell_id, 'offer_letter',
           'Offer of employment', NULL, NULL, NULL, true,
           (s.hired_on - 12)::timestamp AT TIME ZONE 'UTC' + interval '17 hours', NULL
    FROM payroll.employment_spell AS s
    WHERE s.business_id = %(business_id)s
    UNION ALL
    SELECT s.employee_id, concat_ws(' ', 'policy', v.no, s.employee_id), 'policy', v.title, NULL,
           NULL, NULL, true,
           (min(s.hired_on) + 1)::timestamp AT TIME ZONE 'UTC' + interval '13 hours', NULL
    FROM payroll.employment_spell AS s
    CROSS JOIN (VALUES (1, 'Handbook'), (2, 'Timekeeping and meal breaks')) AS v (no, title)
    WHERE s.business_id = %(business_id)s
    GROUP BY s.employee_id, v.no, v.title
    UNION ALL
    SELECT s.employee_id, 'letter ' || s.employment_spell_id, 'verification_letter',
           'Verification of employment', NULL, NULL, NULL, false,
           (s.hired_on + 170)::timestamp AT TIME ZONE 'UTC' + interval '18 hours',
           interval '90 days'
    FROM payroll.employment_spell AS s
    WHERE s.business_id = %(business_id)s AND s.terminated_on IS NULL
      AND abs(hashtextextended(s.employment_spell_id::text, 64) %% 3) = 0
    UNION ALL
    SELECT b.employee_id, 'election ' || min(b.benefit_enrollment_id::text),
           'benefit_confirmation', 'Benefits of ' || extract(year FROM b.effective_from), NULL,
           NULL, NULL, false, max(b.signed_at) + interval '2 hours', NULL
    FROM payroll.benefit_enrollment AS b
    WHERE b.business_id = %(business_id)s AND b.signed_at IS NOT NULL
    GROUP BY b.employee_id, extract(year FROM b.effective_from)
) AS x
WHERE x.published_at <= %(as_of)s;

INSERT INTO system_core.file_object
    (business_id, file_object_id, storage_location_id, file_name, media_type, size_bytes, sha256,
     storage_key, classification, scan_status, uploaded_at)
SELECT %(business_id)s, md5('file of ' || p.source)::uuid, s.storage_location_id,
       replace(p.source, ' ', '-') || '.pdf', 'application/pdf', 38000 + p.place * 211,
       sha256(convert_to(p.source, 'UTF8')), 'payroll/' || replace(p.source, ' ', '/') || '.pdf',
       'confidential', 'clean', p.published_at
FROM published AS p
CROSS JOIN (
    SELECT x.storage_location_id
    FROM system_core.storage_location AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.is_default DESC, x.name
    LIMIT 1
) AS s;

INSERT INTO system_core.file_version
    (business_id, file_version_id, file_object_id, version_no, size_bytes, sha256, storage_key,
     is_current, uploaded_at)
SELECT f.business_id, md5('first version ' || f.file_object_id)::uuid, f.file_object_id, 1,
       f.size_bytes, f.sha256, f.storage_key, true, f.uploaded_at
FROM system_core.file_object AS f
WHERE f.business_id = %(business_id)s AND f.storage_key LIKE 'payroll/%%';

-- Six in ten open a stub within a day, a fifth later; what is to be signed is read first.
INSERT INTO payroll.employee_document
    (business_id, employee_document_id, employee_id, file_object_id, paycheck_id,
     wage_statement_id, document_kind, title, published_at, available_until, first_viewed_at,
     view_count, requires_signature, signed_at, tax_year)
SELECT %(business_id)s, md5('document ' || p.source)::uuid, p.employee_id,
       md5('file of ' || p.source)::uuid, p.paycheck_id, p.wage_statement_id, p.kind, p.title,
       p.published_at,
       (p.published_at AT TIME ZONE 'UTC' + p.stays) AT TIME ZONE 'UTC',
       CASE WHEN v.viewed_at <= %(as_of)s THEN v.viewed_at END,
       CASE WHEN v.viewed_at <= %(as_of)s THEN 1 + p.place %% 3 ELSE 0 END, p.signs,
       CASE WHEN p.signs AND v.viewed_at + interval '20 minutes' <= %(as_of)s
            THEN v.viewed_at + interval '20 minutes' END,
       p.tax_year
FROM published AS p
CROSS JOIN LATERAL (
    SELECT CASE WHEN p.place < 60 OR p.signs
                THEN p.published_at + p.place * interval '21 minutes'
                WHEN p.place < 80 THEN p.published_at + p.place * interval '80 minutes' END
               AS viewed_at
) AS v;

-- One paycheck in twenty-five raises a question, other matters a few more.
INSERT INTO payroll.pay_inquiry
    (business_id, pay_inquiry_id, employee_id, paycheck_id, assigned_to, inquiry_number, topic,
     opened_at, question, status, first_response_at, resolved_at, resolution, amount_at_issue,
     satisfaction_score)
SELECT %(business_id)s, md5('inquiry ' || q.source)::uuid, q.employee_id, q.paycheck_id,
       u.user_account_id,
       format('PI-%%s-%%s', to_char(q.opened_at AT TIME ZONE 'UTC', 'YYYY'),
              lpad(row_number() OVER (
                       PARTITION BY to_char(q.opened_at AT TIME ZONE 'UTC', 'YYYY')
                       ORDER BY q.opened_at, q.source)::text, 5, '0')),
       k.topic, q.opened_at, k.question, s.status,
       CASE WHEN s.status <> 'open' THEN q.opened_at + d.answer END,
       CASE WHEN s.status = 'resolved' THEN q.opened_at + d.answer + d.rest END,
       CASE WHEN s.status = 'resolved' THEN k.resolution END,
       CASE WHEN q.paycheck_id IS NOT NULL THEN 20 + q.place * 3 END,
       CASE WHEN s.status = 'resolved' AND q.place %% 2 = 0
            THEN CASE WHEN k.resolution = 'no_error' THEN 2 + q.place %% 3
                      ELSE 4 + q.place %% 4 / 2 END END
FROM (
    SELECT p.employee_id, p.paycheck_id, p.paycheck_id::text AS source,
           abs(hashtextextended(p.paycheck_id::text, 66) %% 100) AS place,
           p.check_date::timestamp AT TIME ZONE 'UTC' + interval '1 day 15 hours'
           + abs(hashtextextended(p.paycheck_id::text, 67) %% 2000) * interval '1 minute'
               AS opened_at
    FROM payroll.paycheck AS p
    WHERE p.business_id = %(business_id)s AND p.status <> 'draft'
      AND p.check_date > (%(as_of)s::timestamptz AT TIME ZONE 'UTC')::date - 400
      AND abs(hashtextextended(p.paycheck_id::text, 65) %% 25) = 0
    UNION ALL
    SELECT e.employee_id, NULL, 'of ' || e.employee_id,
           abs(hashtextextended(e.employee_id::text, 66) %% 100),
           %(as_of)s::timestamptz
           - (5 + abs(hashtextextended(e.employee_id::text, 67) %% 4000)) * interval '1 hour'
    FROM payroll.employee AS e
    WHERE e.business_id = %(business_id)s AND e.status IN ('active', 'on_leave')
      AND (abs(hashtextextended(e.employee_id::text, 65) %% 4) = 0
           OR e.employee_number = (SELECT min(x.employee_number)
                                   FROM payroll.employee AS x
                                   WHERE x.business_id = %(business_id)s
                                     AND x.status = 'active'))
      -- Nobody asks before the first day.
      AND NOT EXISTS (
          SELECT
          FROM payroll.employment_spell AS s
          WHERE s.business_id = e.business_id AND s.employee_id = e.employee_id
            AND s.terminated_on IS NULL
            AND s.hired_on > (%(as_of)s::timestamptz AT TIME ZONE 'UTC')::date - 168)
) AS q
JOIN payroll.employee AS e
    ON e.business_id = %(business_id)s AND e.employee_id = q.employee_id
JOIN (VALUES
    (true, 0, 'missing_hours', 'A shift of last week is not on my check', 'retro_paid'),
    (true, 1, 'wrong_rate', 'My raise is not in it yet', 'corrected'),
    (true, 2, 'tax', 'Why is more tax taken than last time?', 'explained'),
    (true, 3, 'deduction', 'What is the deduction of this period for?', 'explained'),
    (true, 4, 'direct_deposit', 'It has not arrived in my account', 'no_error'),
    (false, 0, 'time_off', 'How many hours of leave are left by July?', 'explained'),
    (false, 1, 'benefits', 'When does my dental plan begin?', 'explained'),
    (false, 2, 'form_copy', 'I need another copy of my W-2', 'explained')
) AS k (is_of_check, rest, topic, question, resolution)
    ON k.is_of_check = (q.paycheck_id IS NOT NULL)
   AND q.place %% CASE WHEN q.paycheck_id IS NULL THEN 3 ELSE 5 END = k.rest
CROSS JOIN LATERAL (
    SELECT (20 + q.place * 9) * interval '1 minute' AS answer,
           (30 + q.place * 31) * interval '1 minute' AS rest
) AS d
CROSS JOIN LATERAL (
    SELECT CASE WHEN q.opened_at + d.answer > %(as_of)s THEN 'open'
                WHEN q.opened_at + d.answer + d.rest <= %(as_of)s THEN 'resolved'
                WHEN q.place %% 4 = 0 THEN 'escalated' ELSE 'waiting_employee' END AS status
) AS s
CROSS JOIN LATERAL (
    SELECT x.user_account_id
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = e.business_id AND x.account_kind = 'staff'
      AND x.user_account_id IS DISTINCT FROM e.user_account_id
    ORDER BY x.status <> 'active', x.user_account_id
    LIMIT 1
) AS u
WHERE q.opened_at <= %(as_of)s;

-- The trail of all that, and of whoever looked without asking for anything.
INSERT INTO payroll.self_service_event
    (business_id, self_service_event_id, employee_id, occurred_at, action, channel, document_key,
     duration_ms, result, step_up_passed, ip_address, app_version)
SELECT %(business_id)s, md5(concat_ws(' ', 'event', v.action, v.source, v.no))::uuid,
       v.employee_id, v.occurred_at, v.action, c.channel, v.document_key,
       round((exp(4.4 + n.place / 40.0))::numeric, 1), v.result, v.step_up,
       CASE WHEN c.channel <> 'kiosk'
            THEN ('10.' || abs(hashtextextended(v.employee_id::text, 62) %% 100) || '.8.'
                  || n.place)::inet END,
       CASE WHEN c.channel IN ('ios', 'android')
            THEN '5.' || (extract(year FROM v.occurred_at)::integer - 2020) || '.'
                 || (extract(month FROM v.occurred_at)::integer - 1) / 3 END
FROM (
    -- Every view of a document, with the sign-in before it.
    SELECT d.employee_id, d.employee_document_id::text AS source, g.no, g.action,
           d.first_viewed_at + (g.no - 1) / 2 * interval '31 hours'
           - CASE WHEN g.no %% 2 = 1 THEN interval '40 seconds' ELSE interval '0' END
               AS occurred_at,
           CASE WHEN g.no %% 2 = 0 THEN d.employee_document_id END AS document_key,
           'ok' AS result, NULL::boolean AS step_up
    FROM payroll.employee_document AS d
    CROSS JOIN LATERAL (
        SELECT x AS no,
               CASE WHEN x %% 2 = 1 THEN 'login'
                    WHEN d.document_kind = 'w2' THEN 'download_w2' ELSE 'view_pay_stub' END
                   AS action
        FROM generate_series(1, 2 * d.view_count) AS x
    ) AS g
    WHERE d.business_id = %(business_id)s AND d.document_kind IN ('pay_stub', 'w2')
      AND d.view_count > 0
    UNION ALL
    SELECT r.employee_id, r.profile_change_request_id::text, 0,
           CASE r.change_kind WHEN 'bank_account' THEN 'edit_bank' ELSE 'edit_withholding' END,
           r.requested_at, NULL, 'ok', CASE r.change_kind WHEN 'bank_account' THEN true END
    FROM payroll.profile_change_request AS r
    WHERE r.business_id = %(business_id)s AND r.change_kind IN ('bank_account', 'withholding')
    UNION ALL
    -- Someone who could not prove who they are got no further.
    SELECT d.employee_id, 'denied ' || d.employee_document_id, 0, 'edit_bank',
           d.first_viewed_at + interval '3 minutes', NULL, 'denied', false
    FROM payroll.employee_document AS d
    WHERE d.business_id = %(business_id)s AND d.document_kind = 'pay_stub'
      AND d.first_viewed_at IS NOT NULL
      AND abs(hashtextextended(d.employee_document_id::text, 68) %% 90) = 0
    UNION ALL
    SELECT i.employee_id, i.pay_inquiry_id::text, 0, 'open_inquiry', i.opened_at, NULL, 'ok', NULL
    FROM payroll.pay_inquiry AS i
    WHERE i.business_id = %(business_id)s
    UNION ALL
    SELECT q.employee_id, q.time_off_request_id::text, a.no, a.action,
           q.submitted_at - a.no * interval '2 minutes', NULL, 'ok', NULL
    FROM payroll.time_off_request AS q
    CROSS JOIN (VALUES (0, 'request_time_off'), (1, 'view_time_off')) AS a (no, action)
    WHERE q.business_id = %(business_id)s AND q.submitted_at IS NOT NULL
    UNION ALL
    SELECT p.employee_id, p.clock_punch_id::text, 0,
           CASE p.punch_kind WHEN 'in' THEN 'clock_in' ELSE 'clock_out' END, p.punched_at, NULL,
           'ok', NULL
    FROM payroll.clock_punch AS p
    WHERE p.business_id = %(business_id)s AND p.punch_kind IN ('in', 'out')
      AND p.punched_at > %(as_of)s::timestamptz - interval '30 days'
    UNION ALL
    SELECT e.employee_id, 'benefits ' || e.employee_id, g.no, 'view_benefits',
           g.day::timestamptz + abs(hashtextextended(e.employee_id::text, 69) %% 20)
                                * interval '13 hours', NULL, 'ok', NULL
    FROM payroll.employee AS e
    CROSS JOIN (
        SELECT y AS no, make_date(y, 11, 4)::timestamp AT TIME ZONE 'UTC' AS day
        FROM generate_series(
            extract(year FROM %(as_of)s::timestamptz AT TIME ZONE 'UTC')::integer - 1,
            extract(year FROM %(as_of)s::timestamptz AT TIME ZONE 'UTC')::integer) AS y
    ) AS g
    JOIN LATERAL (
        SELECT FROM payroll.employment_spell AS s
        WHERE s.business_id = e.business_id AND s.employee_id = e.employee_id
          AND s.hired_on < (g.day AT TIME ZONE 'UTC')::date
          AND (s.terminated_on IS NULL OR s.terminated_on > (g.day AT TIME ZONE 'UTC')::date + 12)
        LIMIT 1
    ) AS s ON true
    WHERE e.business_id = %(business_id)s
) AS v
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(v.action || v.source, 70) %% 100) AS place
) AS n
CROSS JOIN LATERAL (
    SELECT CASE WHEN v.action IN ('clock_in', 'clock_out') AND n.place < 70 THEN 'kiosk'
                WHEN abs(hashtextextended(v.employee_id::text, 71) %% 10) < 3 THEN 'web'
                WHEN abs(hashtextextended(v.employee_id::text, 71) %% 10) < 7 THEN 'ios'
                ELSE 'android' END AS channel
) AS c
WHERE v.occurred_at <= %(as_of)s
  AND v.occurred_at > %(as_of)s::timestamptz - interval '400 days';
