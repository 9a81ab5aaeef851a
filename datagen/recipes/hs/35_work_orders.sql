-- A business starts with the standard rules.
INSERT INTO hs.work_order_transition_rule
    (business_id, work_order_transition_rule_id, from_status, to_status, actor_role,
     requires_reason, requires_checklist, is_customer_notified)
SELECT %(business_id)s, md5(concat_ws(' ', %(business_id)s, r.from_status, r.to_status,
                                      r.actor_role))::uuid,
       r.from_status, r.to_status, r.actor_role, r.requires_reason, r.requires_checklist,
       r.is_customer_notified
FROM hs.standard_work_order_rules() AS r;

-- A kind of job belongs to the unit of its trade, and so do its jobs.
UPDATE hs.job_type AS j
SET business_unit_id = u.business_unit_id
FROM hs.business_unit AS u
WHERE j.business_id = %(business_id)s
  AND u.business_id = j.business_id AND u.unit_code = split_part(j.job_type_code, '-', 1)
  AND j.business_unit_id <> u.business_unit_id;
UPDATE hs.work_order AS w
SET business_unit_id = j.business_unit_id
FROM hs.job_type AS j
WHERE w.business_id = %(business_id)s
  AND j.business_id = w.business_id AND j.job_type_id = w.job_type_id
  AND w.business_unit_id <> j.business_unit_id;

-- Some jobs put right another that was done before they were called in, and go where the fault is.
-- Odd numbers are called back, even ones call back: nothing is put right twice.
UPDATE hs.work_order AS w
SET source = 'callback', original_work_order_id = c.original_id, customer_id = c.customer_id,
    service_location_id = c.service_location_id
FROM (
    SELECT x.work_order_id, o.work_order_id AS original_id, o.customer_id, o.service_location_id,
           row_number() OVER (ORDER BY x.work_order_number DESC) AS place
    FROM hs.work_order AS x
    CROSS JOIN LATERAL (
        SELECT d.work_order_id, d.customer_id, d.service_location_id
        FROM hs.work_order AS d
        WHERE d.business_id = x.business_id AND d.completed_at < x.requested_at
          AND right(d.work_order_number, 1)::integer %% 2 = 1
        ORDER BY d.completed_at DESC, d.work_order_id
        LIMIT 1
    ) AS o
    WHERE x.business_id = %(business_id)s AND x.source = 'call' AND x.project_id IS NULL
      AND right(x.work_order_number, 1)::integer %% 2 = 0
) AS c
WHERE w.business_id = %(business_id)s AND w.work_order_id = c.work_order_id AND c.place %% 7 = 1;

-- What was not begun has neither lines nor pictures, and serviced nothing.
DELETE FROM hs.work_order_line AS l
USING hs.work_order AS w
WHERE l.business_id = %(business_id)s
  AND w.business_id = l.business_id AND w.work_order_id = l.work_order_id
  AND w.started_at IS NULL AND w.status NOT IN ('quoted', 'approved');
DELETE FROM hs.work_order_media AS m
USING hs.work_order AS w
WHERE m.business_id = %(business_id)s
  AND w.business_id = m.business_id AND w.work_order_id = m.work_order_id
  AND w.started_at IS NULL;
DELETE FROM hs.work_order_equipment AS e
USING hs.work_order AS w
WHERE e.business_id = %(business_id)s
  AND w.business_id = e.business_id AND w.work_order_id = e.work_order_id
  AND w.started_at IS NULL;

-- A service line names what of the price book, a material line what of the stock.
UPDATE hs.work_order_line AS l
SET service_task_id = CASE WHEN l.line_kind = 'service' THEN l.service_task_id END,
    stock_item_id = CASE WHEN l.line_kind = 'material' THEN l.stock_item_id END
WHERE l.business_id = %(business_id)s;

-- Every job went its path. The moments that the job itself names are fixed, the others lie
-- between them.
INSERT INTO hs.work_order_status_event
    (business_id, work_order_status_event_id, work_order_id, technician_id, reason_code_id,
     from_status, to_status, dwell_seconds, source, client_event_ref, occurred_at, created_at)
SELECT %(business_id)s, md5(m.work_order_id || '-' || m.n)::uuid, m.work_order_id,
       CASE WHEN m.to_status IN ('en_route', 'in_progress', 'completed', 'on_hold')
            THEN tech.ids[1 + m.ordinal %% cardinality(tech.ids)] END,
       (SELECT r.reason_code_id FROM hs.reason_code AS r
        WHERE r.business_id = %(business_id)s
          AND r.reason_context = CASE
              WHEN m.to_status IN ('on_hold', 'cancelled')
                  OR (m.from_status = 'completed' AND m.to_status IN ('in_progress', 'scheduled'))
                  OR (m.from_status = 'invoiced' AND m.to_status = 'completed')
              THEN (hs.reason_contexts(m.from_status, m.to_status))[1] END
        ORDER BY md5(r.reason_code_id::text || m.work_order_id)
        LIMIT 1),
       m.from_status, m.to_status, floor(extract(epoch FROM m.moment - m.earlier)),
       CASE WHEN m.to_status IN ('en_route', 'in_progress', 'completed', 'on_hold') THEN 'app'
            WHEN m.to_status IN ('invoiced', 'closed') THEN 'automation' ELSE 'board' END,
       CASE WHEN m.to_status IN ('en_route', 'in_progress', 'completed', 'on_hold')
            THEN 'app-' || m.work_order_number || '-' || m.n END,
       m.moment, m.moment
FROM (
    SELECT t.*, lag(t.to_status) OVER one AS from_status, lag(t.moment) OVER one AS earlier
    FROM (
        SELECT a.work_order_id, a.work_order_number, a.ordinal, a.n, a.to_status,
               a.n * interval '1 microsecond'
               + CASE WHEN a.next_n IS NULL THEN a.last_moment
                                                 + (a.n - a.last_n) * interval '10 minutes'
                      WHEN a.next_n = a.last_n THEN a.last_moment
                      ELSE a.last_moment + (a.next_moment - a.last_moment)
                                           * ((a.n - a.last_n)::float8 / (a.next_n - a.last_n))
                 END AS moment
        FROM (
            SELECT s.*,
                   max(s.fixed) OVER up_to AS last_moment,
                   max(s.n) FILTER (WHERE s.fixed IS NOT NULL) OVER up_to AS last_n,
                   min(s.fixed) OVER from_here AS next_moment,
                   min(s.n) FILTER (WHERE s.fixed IS NOT NULL) OVER from_here AS next_n
            FROM (
                SELECT p.work_order_id, p.work_order_number, p.ordinal, x.n, x.to_status,
                       CASE
                           WHEN x.n = 1 THEN p.requested_at
                           WHEN x.to_status = 'approved' THEN p.approved_at
                           WHEN x.to_status = 'dispatched'
                               AND x.n = array_position(p.path, 'dispatched')
                               THEN p.first_dispatched_at
                           WHEN x.to_status = 'in_progress'
                               AND x.n = array_position(p.path, 'in_progress') THEN p.started_at
                           WHEN x.to_status = 'completed' AND p.path[x.n - 1] = 'in_progress'
                               AND coalesce(p.path[x.n + 1], '') IN ('', 'invoiced', 'closed')
                               THEN p.completed_at
                           WHEN x.to_status = 'invoiced'
                               AND coalesce(p.path[x.n + 1], '') IN ('', 'closed')
                               THEN p.invoiced_at
                           WHEN x.to_status IN ('closed', 'cancelled') THEN p.closed_at
                       END AS fixed
                FROM (
                    SELECT w.*, j.ordinal,
                           string_to_array(CASE
                               WHEN w.status = 'cancelled' THEN CASE
                                   WHEN j.share < 188 THEN 'requested'
                                   WHEN j.share < 193 THEN 'requested>quoted'
                                   WHEN j.share < 198 THEN 'requested>scheduled'
                                   ELSE 'requested>scheduled>dispatched>en_route' END
                                   || '>cancelled'
                               WHEN w.status = 'requested' THEN 'requested'
                               WHEN w.status = 'quoted' THEN 'requested>quoted'
                               WHEN w.status = 'approved' THEN 'requested>quoted>approved'
                               WHEN w.status = 'scheduled' THEN 'requested>scheduled'
                               WHEN w.status = 'dispatched' THEN 'requested>scheduled>dispatched'
                               WHEN w.status = 'en_route'
                                   THEN 'requested>scheduled>dispatched>en_route'
                               WHEN w.status = 'in_progress'
                                   THEN 'requested>scheduled>dispatched>en_route>in_progress'
                               WHEN w.status = 'on_hold'
                                   THEN 'requested>scheduled>dispatched>en_route>in_progress'
                                        || '>on_hold'
                               WHEN w.status = 'completed'
                                   THEN 'requested>scheduled>dispatched>en_route>in_progress'
                                        || '>completed'
                               WHEN w.invoiced_at IS NULL
                                   THEN 'approved>scheduled>dispatched>en_route>in_progress'
                                        || '>completed>closed'
                               ELSE CASE WHEN w.approved_at IS NOT NULL
                                         THEN 'requested>quoted>approved>scheduled'
                                         ELSE 'requested>scheduled' END
                                    || '>dispatched>en_route'
                                    || CASE WHEN j.share = 199 THEN '>dispatched>en_route'
                                            ELSE '' END
                                    || '>in_progress'
                                    || CASE WHEN j.share BETWEEN 160 AND 173
                                            THEN '>on_hold>scheduled>dispatched>en_route'
                                                 || '>in_progress'
                                            WHEN j.share BETWEEN 174 AND 176
                                            THEN '>completed>in_progress'
                                            WHEN j.share BETWEEN 177 AND 179
                                            THEN '>completed>scheduled>dispatched>en_route'
                                                 || '>in_progress'
                                            ELSE '' END
                                    || '>completed>invoiced'
                                    || CASE WHEN j.share BETWEEN 180 AND 181
                                            THEN '>completed>invoiced' ELSE '' END
                                    || CASE WHEN w.status = 'closed' THEN '>closed' ELSE '' END
                           END, '>') AS path
                    FROM hs.work_order AS w
                    CROSS JOIN LATERAL (
                        SELECT substr(w.work_order_number, 4)::integer AS ordinal,
                               substr(w.work_order_number, 4)::integer * 73 %% 200 AS share
                    ) AS j
                    WHERE w.business_id = %(business_id)s
                ) AS p
                CROSS JOIN LATERAL unnest(p.path) WITH ORDINALITY AS x (to_status, n)
            ) AS s
            WINDOW up_to AS (PARTITION BY s.work_order_id ORDER BY s.n
                             ROWS UNBOUNDED PRECEDING),
                   from_here AS (PARTITION BY s.work_order_id ORDER BY s.n
                                 ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
        ) AS a
    ) AS t
    WINDOW one AS (PARTITION BY t.work_order_id ORDER BY t.n)
) AS m
CROSS JOIN (
    SELECT array_agg(t.technician_id ORDER BY t.technician_id) AS ids
    FROM hs.technician AS t
    WHERE t.business_id = %(business_id)s
) AS tech;

-- Why jobs were cancelled.
UPDATE hs.work_order AS w
SET closing_reason_code_id = e.reason_code_id
FROM hs.work_order_status_event AS e
WHERE w.business_id = %(business_id)s AND w.status = 'cancelled'
  AND e.business_id = w.business_id AND e.work_order_id = w.work_order_id
  AND e.to_status = 'cancelled';

-- What stood still has a hold, as long as it stood.
INSERT INTO hs.work_order_hold
    (business_id, work_order_hold_id, work_order_id, reason_code_id, hold_kind, is_sla_paused,
     expected_release_on, note_text, held_at, released_at)
SELECT e.business_id, md5(e.work_order_status_event_id || 'hold')::uuid, e.work_order_id,
       e.reason_code_id,
       CASE WHEN r.code IN ('PARTS', 'CUSTOMER', 'PERMIT', 'WEATHER', 'FINANCING', 'SAFETY',
                            'CREW') THEN lower(r.code) ELSE 'customer' END,
       r.is_customer_caused, e.occurred_at::date + 3,
       CASE WHEN r.requires_note THEN 'Ladder access is not safe' END, e.occurred_at,
       (SELECT min(n.occurred_at) FROM hs.work_order_status_event AS n
        WHERE n.business_id = e.business_id AND n.work_order_id = e.work_order_id
          AND n.occurred_at > e.occurred_at)
FROM hs.work_order_status_event AS e
JOIN hs.reason_code AS r
    ON r.business_id = e.business_id AND r.reason_code_id = e.reason_code_id
WHERE e.business_id = %(business_id)s AND e.to_status = 'on_hold';

-- Who did the steps is who was there.
UPDATE hs.work_order_task AS t
SET completed_by_technician_id = e.technician_id
FROM (
    SELECT DISTINCT x.work_order_id, x.technician_id
    FROM hs.work_order_status_event AS x
    WHERE x.business_id = %(business_id)s AND x.to_status = 'in_progress'
) AS e
WHERE t.business_id = %(business_id)s
  AND t.work_order_id = e.work_order_id AND t.status = 'done';

-- Where the kind of job asks for it, the customer signed; one in fifty would not.
INSERT INTO hs.customer_signature
    (business_id, customer_signature_id, work_order_id, customer_contact_id, signature_file_id,
     signature_kind, signer_name, signer_relationship, document_hash, consent_text_version,
     is_refused, refusal_reason, signed_at)
SELECT w.business_id, md5(w.work_order_id || 'signature')::uuid, w.work_order_id,
       c.customer_contact_id, f.ids[1 + w.ordinal %% cardinality(f.ids)], 'completion',
       coalesce(c.full_name, 'Resident'),
       CASE WHEN c.customer_contact_id IS NULL THEN 'tenant' ELSE 'customer' END,
       sha256(convert_to(w.work_order_number, 'UTF8')), '2025-01', w.ordinal %% 50 = 49,
       CASE WHEN w.ordinal %% 50 = 49 THEN 'Not satisfied with the price' END, w.completed_at
FROM (
    SELECT x.*, row_number() OVER (ORDER BY x.work_order_number) AS ordinal
    FROM hs.work_order AS x
    JOIN hs.job_type AS j ON j.business_id = x.business_id AND j.job_type_id = x.job_type_id
    WHERE x.business_id = %(business_id)s AND x.completed_at IS NOT NULL AND j.requires_signature
) AS w
LEFT JOIN LATERAL (
    SELECT k.customer_contact_id, k.full_name
    FROM hs.customer_contact AS k
    WHERE k.business_id = w.business_id AND k.customer_id = w.customer_id
    ORDER BY k.customer_contact_id
    LIMIT 1
) AS c ON true
CROSS JOIN (
    SELECT array_agg(o.file_object_id ORDER BY o.file_object_id) AS ids
    FROM system_core.file_object AS o
    WHERE o.business_id = %(business_id)s
) AS f
WHERE f.ids IS NOT NULL;
